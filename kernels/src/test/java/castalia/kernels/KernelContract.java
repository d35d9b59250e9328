package castalia.kernels;

/**
 * What every back end must keep: each operation against the reference, in double precision with
 * bounds from types and lengths of sums, or bit for bit where numerics.md defines the bits. Every
 * operation runs twice with the same bits, leaves inputs and the memory around its operands alone
 * and refuses buffers that do not fit. A subclass names the device.
 */
abstract class KernelContract
        implements DeviceContract,
                ProductContract,
                GeluProductContract,
                NormContract,
                AttentionContract,
                PointwiseContract,
                CrossEntropyContract,
                OptimizerContract,
                NaNContract,
                RefusalContract {}
