import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;

public class FirstMessage {
    public static void main(String[] arguments) throws Exception {
        var server = arguments.length > 0 ? arguments[0] : "127.0.0.1:9876";
        var producer = new DefaultMQProducer("greeters");
        producer.setNamesrvAddr(server);
        producer.start();
        System.out.println("sent " + producer.send(new Message("Greetings", "hello".getBytes())).getSendStatus());
        var consumer = new DefaultLitePullConsumer("readers");
        consumer.setNamesrvAddr(server);
        consumer.subscribe("Greetings", "*");
        consumer.start();
        consumer.poll(30_000).forEach(message -> System.out.println("received " + new String(message.getBody())));
        consumer.commit();
        consumer.shutdown();
        producer.shutdown();
    }
}
