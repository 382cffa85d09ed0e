import java.nio.charset.StandardCharsets;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;

/**
 * What the Go program beside it does, with the official Java client: {@code Load produce|consume NAMESRV TOPIC
 * NAME [COUNT] [RATE]}, one event a line.
 */
public final class Load {
    private static final int STARTS = 5;
    private static final CountDownLatch STOP = new CountDownLatch(1);
    private static final AtomicBoolean STOPPED = new AtomicBoolean();

    public static void main(String[] words) throws Exception {
        var main = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            STOPPED.set(true);
            STOP.countDown();
            try {
                main.join(20_000);
            } catch (InterruptedException ended) {
                Thread.currentThread().interrupt();
            }
        }));
        switch (words[0]) {
            case "produce" -> produce(words[1], words[2], words[3], Integer.parseInt(words[4]), Integer.parseInt(words[5]));
            case "consume" -> consume(words[1], words[2], words[3]);
            default -> throw new IllegalArgumentException(words[0]);
        }
        say("done");
    }

    private static void produce(String namesrv, String topic, String name, int count, int rate) throws Exception {
        var sender = new DefaultMQProducer(name);
        sender.setNamesrvAddr(namesrv);
        sender.start();
        var begin = System.nanoTime();
        for (int number = 0, acked = 0; (count == 0 || acked < count) && !STOPPED.get(); number++) {
            var wait = begin + number * (1_000_000_000L / rate) - System.nanoTime();
            if (wait > 0) {
                Thread.sleep(wait / 1_000_000);
            }
            var key = name + "-" + number;
            try {
                var result = sender.send(new Message(topic, key.getBytes(StandardCharsets.UTF_8)));
                if (result.getSendStatus() == SendStatus.SEND_OK) {
                    acked++;
                    var queue = result.getMessageQueue();
                    say("acked %s %s/%d %d %d", key, queue.getBrokerName(), queue.getQueueId(), result.getQueueOffset(), now());
                } else {
                    say("failed %s %d %s", key, now(), result.getSendStatus());
                }
            } catch (Exception refused) {
                say("failed %s %d %s", key, now(), String.valueOf(refused.getMessage()).replaceAll("\\s+", " "));
            }
        }
        sender.shutdown();
    }

    private static void consume(String namesrv, String topic, String group) throws Exception {
        DefaultMQPushConsumer reader = null;
        // As whatever runs a program would start it again: on a busy machine its own time-outs can be too short.
        for (var attempt = 1; reader == null; attempt++) {
            try {
                reader = started(namesrv, topic, group);
            } catch (Exception failed) {
                if (attempt == STARTS) {
                    throw failed;
                }
            }
        }
        STOP.await();
        reader.shutdown();
    }

    private static DefaultMQPushConsumer started(String namesrv, String topic, String group) throws Exception {
        var reader = new DefaultMQPushConsumer(group);
        reader.setNamesrvAddr(namesrv);
        reader.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        reader.subscribe(topic, "*");
        reader.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            for (var message : messages) {
                var body = new String(message.getBody(), StandardCharsets.UTF_8);
                say("got %s %s/%d %d %d", body, message.getBrokerName(), message.getQueueId(), message.getQueueOffset(), now());
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        reader.start();
        return reader;
    }

    private static long now() {
        return System.currentTimeMillis();
    }

    private static synchronized void say(String format, Object... values) {
        System.out.printf(format + "%n", values);
        System.out.flush();
    }
}
