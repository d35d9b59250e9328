package castalia.actors.watch;

import akka.actor.ActorRef;
import akka.actor.ActorSystem;
import akka.dispatch.Envelope;
import akka.dispatch.MailboxType;
import akka.dispatch.MessageQueue;
import akka.dispatch.ProducesMessageQueue;
import com.typesafe.config.Config;
import java.util.Queue;
import java.util.concurrent.LinkedBlockingQueue;
import scala.Option;

/**
 * A bounded mailbox that drops what does not fit and tells nobody. It is for the one actor that hears
 * of dead letters: Akka's own would make a dead letter of each that does not fit, without end.
 */
public final class DroppingMailbox implements MailboxType, ProducesMessageQueue<MessageQueue> {

    private final int capacity;

    /** Made by Akka, by its name in the configuration. */
    public DroppingMailbox(ActorSystem.Settings settings, Config config) {
        this.capacity = config.getInt("mailbox-capacity");
    }

    @Override
    public MessageQueue create(Option<ActorRef> owner, Option<ActorSystem> system) {
        return new Bounded(capacity);
    }

    private static final class Bounded implements MessageQueue {

        private final Queue<Envelope> queue;

        Bounded(int capacity) {
            this.queue = new LinkedBlockingQueue<>(capacity);
        }

        @Override
        public void enqueue(ActorRef receiver, Envelope envelope) {
            boolean _ = queue.offer(envelope);
        }

        @Override
        @SuppressWarnings("NullAway") // Akka's word for an empty queue
        public Envelope dequeue() {
            return queue.poll();
        }

        @Override
        public int numberOfMessages() {
            return queue.size();
        }

        @Override
        public boolean hasMessages() {
            return !queue.isEmpty();
        }

        @Override
        public void cleanUp(ActorRef owner, MessageQueue deadLetters) {
            queue.clear();
        }
    }
}
