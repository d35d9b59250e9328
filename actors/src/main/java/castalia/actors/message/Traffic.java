package castalia.actors.message;

/** Marks what crosses the network; bound to the control serializer. Tensors are never among it. */
public sealed interface Traffic
        permits CoordinatorTraffic, WorkerTraffic, AgentTraffic, CandidateTraffic, InspectorTraffic,
                JobTraffic {}
