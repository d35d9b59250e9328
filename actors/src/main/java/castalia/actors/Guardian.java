package castalia.actors;

import akka.actor.typed.ActorRef;
import akka.actor.typed.Behavior;
import akka.actor.typed.SupervisorStrategy;
import akka.actor.typed.Terminated;
import akka.actor.typed.javadsl.ActorContext;
import akka.actor.typed.javadsl.Behaviors;
import castalia.actors.watch.ActorRegistry;
import castalia.actors.watch.Instrumented;
import java.util.concurrent.CompletableFuture;

/** The root of a process's actors: it spawns them as it is told and watches them. */
final class Guardian {

    /** What it is told. */
    sealed interface Command {}

    /** Spawns an actor. */
    record Spawn<C>(
            String name,
            Class<C> type,
            Behavior<C> behavior,
            SupervisorStrategy strategy,
            CompletableFuture<ActorRef<C>> spawned)
            implements Command {}

    private Guardian() {}

    static Behavior<Command> create(ActorRegistry registry) {
        return Behaviors.setup(context -> Behaviors.receive(
                (c, command) -> {
                    switch (command) {
                        case Spawn<?> spawn -> spawn(context, registry, spawn);
                    }
                    return Behaviors.same();
                },
                (c, signal) -> {
                    if (signal instanceof Terminated gone) {
                        context.getLog().info("{} stopped", gone.getRef().path());
                    }
                    return Behaviors.same();
                }));
    }

    private static <C> void spawn(
            ActorContext<Command> context, ActorRegistry registry, Spawn<C> spawn) {
        ActorRef<C> ref = Instrumented.spawn(context, registry, spawn.name(), spawn.type(),
                spawn.behavior(), spawn.strategy());
        context.watch(ref);
        spawn.spawned().complete(ref);
    }
}
