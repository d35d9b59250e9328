package castalia.deploy.shell;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.LoggerContext;
import ch.qos.logback.classic.encoder.PatternLayoutEncoder;
import ch.qos.logback.classic.filter.ThresholdFilter;
import ch.qos.logback.classic.spi.Configurator;
import ch.qos.logback.classic.spi.ConfiguratorRank;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.ConsoleAppender;
import ch.qos.logback.core.spi.ContextAwareBase;
import ch.qos.logback.core.status.NopStatusListener;

/**
 * What of the libraries' logs people see. Results are on stdout; what a person must see while a command
 * runs goes to stderr, one short line each. Logback finds this class as a service: a file would need
 * Java's XML, a twentieth of a packed program.
 */
@ConfiguratorRank(ConfiguratorRank.CUSTOM_HIGH_PRIORITY)
public final class ProgramLogging extends ContextAwareBase implements Configurator {

    @Override
    public ExecutionStatus configure(LoggerContext context) {
        context.getStatusManager().add(new NopStatusListener());
        Logger root = context.getLogger(org.slf4j.Logger.ROOT_LOGGER_NAME);
        root.setLevel(Level.WARN);
        root.addAppender(stderr(context, "STDERR", Level.WARN,
                "castalia: %replace(%level){'WARN', 'warning'}: %msg %kvp%n%ex{3}"));
        // What Akka finds odd about the cluster the run's own state machine deals with and tells of.
        context.getLogger("akka").setLevel(Level.ERROR);
        // Counted as what the transport refused; Akka tells nobody of what its logger is closed to.
        Logger transport = context.getLogger("akka.remote.artery");
        transport.setLevel(Level.WARN);
        transport.setAdditive(false);
        transport.addAppender(stderr(
                context, "ERRORS", Level.ERROR, "castalia: %level: %msg%n%ex{3}"));
        // A port in use is one clear line of ours.
        context.getLogger("akka.io.TcpListener").setLevel(Level.OFF);
        return ExecutionStatus.DO_NOT_INVOKE_NEXT_IF_ANY;
    }

    private static ConsoleAppender<ILoggingEvent> stderr(
            LoggerContext context, String name, Level least, String pattern) {
        PatternLayoutEncoder encoder = new PatternLayoutEncoder();
        encoder.setContext(context);
        encoder.setPattern(pattern);
        encoder.start();
        ThresholdFilter filter = new ThresholdFilter();
        filter.setLevel(least.toString());
        filter.start();
        ConsoleAppender<ILoggingEvent> appender = new ConsoleAppender<>();
        appender.setContext(context);
        appender.setName(name);
        appender.setTarget("System.err");
        appender.addFilter(filter);
        appender.setEncoder(encoder);
        appender.start();
        return appender;
    }
}
