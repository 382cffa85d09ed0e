package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
)

var consumeCases = []testCase{
	{"push-clustering", pushClustering},
	{"push-broadcasting", pushBroadcasting},
	{"push-tag-filter", pushTagFilter},
	{"push-new-group-young-queue", pushYoungQueue},
	{"group-two-share-one-leaves", groupShare},
	{"group-restart-resumes", groupRestart},
	{"pull-from", pullFrom},
	{"pull-poll-commit", pullPoll},
}

func pushClustering(s *session) error {
	topic, err := s.topic(4)
	if err != nil {
		return err
	}
	inbox := &inbox{}
	if _, err := s.push(fresh("group"), topic, "*", inbox); err != nil {
		return err
	}
	bodies, err := s.send(topic, 40)
	if err != nil {
		return err
	}
	return inbox.awaitExactly(bodies)
}

func pushBroadcasting(s *session) error {
	topic, err := s.topic(4)
	if err != nil {
		return err
	}
	group := fresh("group")
	inboxes := []*inbox{{}, {}}
	for _, inbox := range inboxes {
		if _, err := s.push(group, topic, "*", inbox, consumer.WithConsumerModel(consumer.BroadCasting)); err != nil {
			return err
		}
	}
	bodies, err := s.send(topic, 20)
	if err != nil {
		return err
	}
	return errors.Join(inboxes[0].awaitExactly(bodies), inboxes[1].awaitExactly(bodies))
}

func pushTagFilter(s *session) error {
	topic, err := s.topic(2)
	if err != nil {
		return err
	}
	filtered, everything := &inbox{}, &inbox{}
	// "Aa" and "BB" have the same hash: the broker hands both over, the client drops the wrong one.
	if _, err := s.push(fresh("group"), topic, "red || Aa", filtered); err != nil {
		return err
	}
	if _, err := s.push(fresh("group"), topic, "*", everything); err != nil {
		return err
	}
	sent := []string{"red", "blue", "Aa", "BB", "RED", "red", ""}
	for _, tag := range sent {
		message := primitive.NewMessage(topic, []byte("body "+tag))
		if tag != "" {
			message.WithTag(tag)
		}
		if _, err := s.sender.SendSync(context.Background(), message); err != nil {
			return err
		}
	}
	var bodies []string
	for _, tag := range sent {
		bodies = append(bodies, "body "+tag)
	}
	return errors.Join(
		everything.awaitExactly(bodies),
		filtered.awaitExactly([]string{"body red", "body Aa", "body red"}),
	)
}

func pushYoungQueue(s *session) error {
	topic, err := s.topic(2)
	if err != nil {
		return err
	}
	bodies, err := s.send(topic, 10)
	if err != nil {
		return err
	}
	inbox := &inbox{}
	// The client's default; on a queue that still has its first message it means "from the first".
	if _, err := s.push(fresh("group"), topic, "*", inbox,
		consumer.WithConsumeFromWhere(consumer.ConsumeFromLastOffset)); err != nil {
		return err
	}
	return inbox.awaitExactly(bodies)
}

// A member of a group that counts the queues of the topic it was given by the client's default strategy.
type member struct {
	reader rocketmq.PushConsumer
	queues atomic.Int64
}

func startMember(s *session, group, topic string, inbox *inbox) (*member, error) {
	one := &member{}
	strategy := func(group, client string, queues []*primitive.MessageQueue, clients []string) []*primitive.MessageQueue {
		mine := consumer.AllocateByAveragely(group, client, queues, clients)
		if len(queues) > 0 && queues[0].Topic == topic {
			one.queues.Store(int64(len(mine)))
		}
		return mine
	}
	reader, err := s.push(group, topic, "*", inbox, consumer.WithStrategy(strategy))
	one.reader = reader
	return one, err
}

func (m *member) await(queues int64) error {
	return eventually("queues of a member", func() error { return equal("queues", queues, m.queues.Load()) })
}

func groupShare(s *session) error {
	topic, err := s.topic(8)
	if err != nil {
		return err
	}
	group, inbox := fresh("group"), &inbox{}
	var sent []string
	exchange := func() error {
		bodies, err := s.send(topic, 16)
		sent = append(sent, bodies...)
		return errors.Join(err, inbox.awaitAll(sent))
	}
	first, err := startMember(s, group, topic, inbox)
	if err != nil {
		return err
	}
	if err := errors.Join(first.await(8), exchange()); err != nil {
		return fmt.Errorf("alone: %w", err)
	}
	second, err := startMember(s, group, topic, inbox)
	if err != nil {
		return err
	}
	if err := errors.Join(first.await(4), second.await(4), exchange()); err != nil {
		return fmt.Errorf("two: %w", err)
	}
	if err := second.reader.Shutdown(); err != nil {
		return err
	}
	if err := errors.Join(first.await(8), exchange()); err != nil {
		return fmt.Errorf("after one left: %w", err)
	}
	return nil
}

func groupRestart(s *session) error {
	topic, err := s.topic(4)
	if err != nil {
		return err
	}
	group, before, after := fresh("group"), &inbox{}, &inbox{}
	reader, err := s.push(group, topic, "*", before)
	if err != nil {
		return err
	}
	bodies, err := s.send(topic, 20)
	if err != nil {
		return err
	}
	if err := errors.Join(before.awaitExactly(bodies), s.untilCommitted(group, topic, 4, len(bodies)), reader.Shutdown()); err != nil {
		return err
	}
	missed, err := s.send(topic, 20)
	if err != nil {
		return err
	}
	if _, err := s.push(group, topic, "*", after); err != nil {
		return err
	}
	return after.awaitExactly(missed)
}

// pull starts a pull consumer that is subscribed to topic.
func (s *session) pull(group, topic string) (rocketmq.PullConsumer, error) {
	reader, err := rocketmq.NewPullConsumer(
		consumer.WithNameServer(s.namesrv),
		consumer.WithGroupName(group),
		consumer.WithInstance(fresh("instance")),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset),
	)
	if err != nil {
		return nil, err
	}
	if err := reader.Subscribe(topic, consumer.MessageSelector{Type: consumer.TAG, Expression: "*"}); err != nil {
		return nil, err
	}
	s.shutdowns = append(s.shutdowns, reader.Shutdown)
	return reader, reader.Start()
}

func pullFrom(s *session) error {
	topic, err := s.topic(1)
	if err != nil {
		return err
	}
	bodies, err := s.send(topic, 5)
	if err != nil {
		return err
	}
	reader, err := s.pull(fresh("group"), topic)
	if err != nil {
		return err
	}
	queues, err := s.admin.FetchPublishMessageQueues(context.Background(), topic)
	if err != nil {
		return err
	}
	ctx := context.Background()
	var found *primitive.PullResult
	if err := eventually("messages from offset 2", func() error {
		var err error
		found, err = reader.PullFrom(ctx, queues[0], 2, 32)
		if err != nil {
			return err
		}
		return equal("messages", 3, len(found.GetMessageExts()))
	}); err != nil {
		return err
	}
	beyond, err := reader.PullFrom(ctx, queues[0], 9, 32)
	if err != nil {
		return err
	}
	return errors.Join(
		equal("status", primitive.PullFound, found.Status),
		equal("first body", bodies[2], string(found.GetMessageExts()[0].Body)),
		equal("next", 5, found.NextBeginOffset),
		equal("min", 0, found.MinOffset),
		equal("max", 5, found.MaxOffset),
		equal("beyond the end", primitive.PullOffsetIllegal, beyond.Status),
		equal("next beyond the end", 5, beyond.NextBeginOffset),
	)
}

func pullPoll(s *session) error {
	topic, err := s.topic(2)
	if err != nil {
		return err
	}
	bodies, err := s.send(topic, 8)
	if err != nil {
		return err
	}
	group, polled, rest := fresh("group"), &inbox{}, &inbox{}
	reader, err := s.pull(group, topic)
	if err != nil {
		return err
	}
	ctx := context.Background()
	if err := eventually("polled messages", func() error {
		if request, err := reader.Poll(ctx, time.Second); err == nil {
			_, _ = polled.receive(ctx, request.GetMsgList()...)
			reader.ACK(ctx, request, consumer.ConsumeSuccess)
		}
		return equal("messages", len(bodies), len(polled.all()))
	}); err != nil {
		return err
	}
	if err := errors.Join(polled.awaitExactly(bodies), reader.PersistOffset(ctx, topic)); err != nil {
		return err
	}
	if err := errors.Join(s.untilCommitted(group, topic, 2, len(bodies)), reader.Shutdown()); err != nil {
		return err
	}
	// A push consumer of the same group goes on where the acknowledgements ended.
	later, err := s.send(topic, 4)
	if err != nil {
		return err
	}
	if _, err := s.push(group, topic, "*", rest); err != nil {
		return err
	}
	return rest.awaitExactly(later)
}
