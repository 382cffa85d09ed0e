package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/admin"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

const (
	// Longer than the client's own 20 s rebalance: a missed notice delays a case but does not fail it.
	deadline = 45 * time.Second
	poll     = 20 * time.Millisecond
	// So many that each of two name servers is met by one of them.
	connections = 8
)

// A server is what all cases share: addresses, and clients that keep no state between calls.
type server struct {
	namesrv primitive.NamesrvAddr
	broker  string
	sender  rocketmq.Producer
	admin   admin.Admin
}

func connect(namesrv, broker string) (*server, error) {
	addresses, err := primitive.NewNamesrvAddr(namesrv)
	if err != nil {
		return nil, err
	}
	tools, err := admin.NewAdmin(admin.WithResolver(primitive.NewPassthroughResolver(addresses)))
	if err != nil {
		return nil, err
	}
	server := &server{namesrv: addresses, broker: broker, admin: tools}
	server.sender, err = server.newProducer()
	return server, err
}

// newProducer starts a producer that places messages round robin unless options say otherwise.
func (s *server) newProducer(options ...producer.Option) (rocketmq.Producer, error) {
	options = append([]producer.Option{
		producer.WithNameServer(s.namesrv),
		producer.WithGroupName(fresh("producer")),
		producer.WithInstanceName(fresh("instance")),
		producer.WithSendMsgTimeout(15 * time.Second),
	}, options...)
	sender, err := rocketmq.NewProducer(options...)
	if err != nil {
		return nil, err
	}
	return sender, sender.Start()
}

// fresh returns a name that no other case or run uses.
func fresh(stem string) string {
	return fmt.Sprintf("%s-%x", stem, rand.Uint64())
}

// topic makes a new topic and waits until every name server knows it.
func (s *server) topic(queues int) (string, error) {
	topic := fresh("interop-go")
	err := s.admin.CreateTopic(context.Background(), admin.WithTopicCreate(topic),
		admin.WithBrokerAddrCreate(s.broker), admin.WithReadQueueNums(queues), admin.WithWriteQueueNums(queues))
	if err != nil {
		return "", err
	}
	return topic, eventually("route of "+topic, func() error {
		found, err := s.admin.FetchPublishMessageQueues(context.Background(), topic)
		if err == nil && len(found) != queues {
			err = fmt.Errorf("%d queues", len(found))
		}
		// Several name servers may be behind one address, each connection leads to one, and each hears of the
		// topic by itself.
		for attempt := 0; err == nil && attempt < connections; attempt++ {
			_, err = ask(s.namesrv[0], getRouteInfo, map[string]string{"topic": topic})
		}
		return err
	})
}

// send sends count small messages and returns their bodies.
func (s *server) send(topic string, count int) ([]string, error) {
	stem := fresh("body")
	var bodies []string
	for index := range count {
		body := fmt.Sprintf("%s-%d", stem, index)
		bodies = append(bodies, body)
		if _, err := s.sender.SendSync(context.Background(), primitive.NewMessage(topic, []byte(body))); err != nil {
			return nil, fmt.Errorf("send to %s: %w", topic, err)
		}
	}
	return bodies, nil
}

// A session holds the clients one case makes for itself; all are shut down when it ends, the newest first.
type session struct {
	*server
	shutdowns []func() error
}

func (s *session) close() {
	for index := len(s.shutdowns) - 1; index >= 0; index-- {
		_ = s.shutdowns[index]()
	}
}

// newPushConsumer makes a push consumer, not started, that hands its messages to inbox. It begins with
// the first message: with the default, the last, a message that arrives between the two questions for
// a new group's offset is skipped, on any broker.
func (s *session) newPushConsumer(group, topic, tags string, inbox *inbox, options ...consumer.Option) (rocketmq.PushConsumer, error) {
	options = append([]consumer.Option{
		consumer.WithNameServer(s.namesrv),
		consumer.WithGroupName(group),
		consumer.WithInstance(fresh("instance")),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset),
	}, options...)
	reader, err := rocketmq.NewPushConsumer(options...)
	if err != nil {
		return nil, err
	}
	s.shutdowns = append(s.shutdowns, reader.Shutdown)
	return reader, reader.Subscribe(topic, consumer.MessageSelector{Type: consumer.TAG, Expression: tags}, inbox.receive)
}

// push is newPushConsumer, started.
func (s *session) push(group, topic, tags string, inbox *inbox, options ...consumer.Option) (rocketmq.PushConsumer, error) {
	reader, err := s.newPushConsumer(group, topic, tags, inbox, options...)
	if err != nil {
		return nil, err
	}
	return reader, reader.Start()
}

// An inbox keeps every message a push consumer was given.
type inbox struct {
	mutex    sync.Mutex
	messages []*primitive.MessageExt
}

func (i *inbox) receive(_ context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	i.messages = append(i.messages, messages...)
	return consumer.ConsumeSuccess, nil
}

func (i *inbox) all() []*primitive.MessageExt {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	return append([]*primitive.MessageExt(nil), i.messages...)
}

func (i *inbox) bodies() []string {
	bodies := []string{}
	for _, message := range i.all() {
		bodies = append(bodies, string(message.Body))
	}
	sort.Strings(bodies)
	return bodies
}

// awaitExactly waits for these bodies, each once; a repeated one never becomes equal and fails the case.
func (i *inbox) awaitExactly(bodies []string) error {
	sorted := append([]string(nil), bodies...)
	sort.Strings(sorted)
	return eventually("received bodies", func() error { return equal("bodies", sorted, i.bodies()) })
}

// awaitAll waits until each of these bodies has arrived at least once.
func (i *inbox) awaitAll(bodies []string) error {
	return eventually("received bodies", func() error {
		seen := map[string]bool{}
		for _, body := range i.bodies() {
			seen[body] = true
		}
		for _, body := range bodies {
			if !seen[body] {
				return fmt.Errorf("%s is missing, %d of %d seen", body, len(seen), len(bodies))
			}
		}
		return nil
	})
}

// equal compares by text, which is what a failure shows anyway.
func equal(what string, expected, seen any) error {
	if e, s := fmt.Sprint(expected), fmt.Sprint(seen); e != s {
		return fmt.Errorf("%s: expected %s, saw %s", what, e, s)
	}
	return nil
}

// eventually asks until there is no error, or gives back the last one.
func eventually(what string, ask func() error) error {
	end := time.Now().Add(deadline)
	for {
		err := ask()
		if err == nil {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s: not within %v: %w", what, deadline, err)
		}
		time.Sleep(poll)
	}
}

// refused checks that err is the broker's answer with this code; the client gives it as text only.
func refused(what string, code int, err error) error {
	if err == nil || !strings.HasPrefix(err.Error(), fmt.Sprintf("CODE: %d,", code)) {
		return fmt.Errorf("%s: expected code %d, saw: %w", what, code, err)
	}
	return nil
}
