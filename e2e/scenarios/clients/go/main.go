// Command load sends or receives with the official Go client and says what became of each message.
//
//	load produce -namesrv HOST:PORT -topic TOPIC -name NAME [-count N] [-rate N]
//	load consume -namesrv HOST:PORT -topic TOPIC -name GROUP
//
// Each line is an event: "acked KEY QUEUE OFFSET MS", "failed KEY MS WHY", "got KEY QUEUE OFFSET MS", and
// last "done". A key names a message: the producer's name and a number. SIGTERM ends it in order.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
	"github.com/apache/rocketmq-client-go/v2/rlog"
)

var speaking sync.Mutex

// say writes a whole line at once: somebody follows them.
func say(format string, values ...any) {
	speaking.Lock()
	defer speaking.Unlock()
	_, _ = fmt.Fprintf(os.Stdout, format+"\n", values...)
}

func main() {
	if len(os.Args) < 2 || (os.Args[1] != "produce" && os.Args[1] != "consume") {
		fmt.Fprintln(os.Stderr, "usage: load produce|consume -namesrv HOST:PORT -topic TOPIC -name NAME")
		os.Exit(2)
	}
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	namesrv := flags.String("namesrv", "", "name servers, host:port separated by ;")
	topic := flags.String("topic", "", "topic")
	name := flags.String("name", "", "of the producer, or of the consumer group")
	count := flags.Int("count", 0, "messages to be acknowledged; 0 for no end")
	rate := flags.Int("rate", 50, "messages a second, at most")
	_ = flags.Parse(os.Args[2:])
	rlog.SetLogLevel("fatal")
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()

	run := consume
	if os.Args[1] == "produce" {
		run = func(stop context.Context, servers primitive.NsResolver, topic, name string) error {
			return produce(stop, servers, topic, name, *count, *rate)
		}
	}
	servers := byName(strings.Split(*namesrv, ";"))
	if err := run(stop, servers, *topic, *name); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	say("done")
}

// byName looks name servers up: the client itself takes addresses only. It asks again every two minutes.
type byName []string

func (names byName) Resolve() []string {
	var found []string
	for _, name := range names {
		host, port, _ := net.SplitHostPort(name)
		addresses, _ := net.LookupHost(host)
		for _, address := range addresses {
			found = append(found, net.JoinHostPort(address, port))
		}
	}
	return found
}

func (names byName) Description() string { return strings.Join(names, ";") }

// produce sends with the client's own defaults: whatever it does about a failure is part of the test.
func produce(stop context.Context, servers primitive.NsResolver, topic, name string, count, rate int) error {
	sender, err := rocketmq.NewProducer(
		producer.WithNsResolver(servers), producer.WithGroupName(name), producer.WithInstanceName(name))
	if err != nil {
		return err
	}
	if err := sender.Start(); err != nil {
		return err
	}
	defer func() { _ = sender.Shutdown() }()
	pace := time.NewTicker(time.Second / time.Duration(rate))
	for number, acked := 0, 0; count == 0 || acked < count; number++ {
		select {
		case <-stop.Done():
			return nil
		case <-pace.C:
		}
		key := fmt.Sprintf("%s-%d", name, number)
		result, err := sender.SendSync(context.Background(), primitive.NewMessage(topic, []byte(key)))
		now := time.Now().UnixMilli()
		if err != nil {
			say("failed %s %d %s", key, now, strings.Join(strings.Fields(err.Error()), " "))
			continue
		}
		if result.Status != primitive.SendOK {
			say("failed %s %d status %d", key, now, result.Status)
			continue
		}
		acked++
		say("acked %s %s/%d %d %d", key, result.MessageQueue.BrokerName, result.MessageQueue.QueueId, result.QueueOffset, now)
	}
	return nil
}

// consume begins with the first message, and commits as a push consumer does: every 5 s, and at its end.
func consume(stop context.Context, servers primitive.NsResolver, topic, group string) error {
	reader, err := rocketmq.NewPushConsumer(
		consumer.WithNsResolver(servers), consumer.WithGroupName(group), consumer.WithInstance(group),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset))
	if err != nil {
		return err
	}
	take := func(_ context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		for _, message := range messages {
			now := time.Now().UnixMilli()
			say("got %s %s/%d %d %d", message.Body, message.Queue.BrokerName, message.Queue.QueueId, message.QueueOffset, now)
		}
		return consumer.ConsumeSuccess, nil
	}
	if err := reader.Subscribe(topic, consumer.MessageSelector{Type: consumer.TAG, Expression: "*"}, take); err != nil {
		return err
	}
	if err := reader.Start(); err != nil {
		return err
	}
	<-stop.Done()
	return reader.Shutdown()
}
