package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/apache/rocketmq-client-go/v2/admin"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

const (
	limit            = 4 << 20
	messageIllegal   = 13
	invalidParameter = 29
)

var sendCases = []testCase{
	{"send-sync", sendSync},
	{"send-async", sendAsync},
	{"send-oneway", sendOneway},
	{"send-batch", sendBatch},
	{"send-hash-selector", sendHashSelector},
	{"send-chosen-queue", sendChosenQueue},
	{"send-creates-topic", sendCreatesTopic},
	{"send-properties", sendProperties},
	{"body-4mib", bodyLargest},
	{"body-over-limit", bodyOverLimit},
	{"body-compressed", bodyCompressed},
	{"admin-topic", adminTopic},
	{"refuse-topic-name", refuseTopicName},
}

func sendSync(s *session) error {
	topic, err := s.topic(1)
	if err != nil {
		return err
	}
	for offset := range 3 {
		result, err := s.sender.SendSync(context.Background(), primitive.NewMessage(topic, []byte("sync")))
		if err != nil {
			return err
		}
		err = errors.Join(
			equal("status", primitive.SendOK, result.Status),
			equal("queue offset", offset, result.QueueOffset),
			equal("queue", 0, result.MessageQueue.QueueId),
			equal("region", "DefaultRegion", result.RegionID),
			equal("tracing is announced", true, result.TraceOn),
			equal("length of the offset id", 32, len(result.OffsetMsgID)),
		)
		if err != nil {
			return err
		}
	}
	return nil
}

func sendAsync(s *session) error {
	topic, err := s.topic(4)
	if err != nil {
		return err
	}
	var pending sync.WaitGroup
	var mutex sync.Mutex
	var failure error
	places := map[string]bool{}
	for index := range 100 {
		pending.Add(1)
		err := s.sender.SendAsync(context.Background(), func(_ context.Context, result *primitive.SendResult, err error) {
			defer pending.Done()
			mutex.Lock()
			defer mutex.Unlock()
			if err != nil {
				failure = err
				return
			}
			places[fmt.Sprintf("%d@%d", result.MessageQueue.QueueId, result.QueueOffset)] = true
		}, primitive.NewMessage(topic, fmt.Appendf(nil, "async-%d", index)))
		if err != nil {
			return err
		}
	}
	pending.Wait()
	return errors.Join(failure, equal("distinct places", 100, len(places)))
}

func sendOneway(s *session) error {
	topic, err := s.topic(2)
	if err != nil {
		return err
	}
	var bodies []string
	for index := range 50 {
		body := fmt.Sprintf("oneway-%d", index)
		bodies = append(bodies, body)
		if err := s.sender.SendOneWay(context.Background(), primitive.NewMessage(topic, []byte(body))); err != nil {
			return err
		}
	}
	inbox := &inbox{}
	if _, err := s.push(fresh("group"), topic, "*", inbox); err != nil {
		return err
	}
	return inbox.awaitExactly(bodies)
}

func sendBatch(s *session) error {
	topic, err := s.topic(2)
	if err != nil {
		return err
	}
	var messages []*primitive.Message
	var bodies []string
	for index := range 50 {
		bodies = append(bodies, fmt.Sprintf("batch-%d", index))
		messages = append(messages, primitive.NewMessage(topic, []byte(bodies[index])).WithTag(fmt.Sprint("tag", index%3)))
	}
	result, err := s.sender.SendSync(context.Background(), messages...)
	if err != nil {
		return err
	}
	inbox := &inbox{}
	if _, err := s.push(fresh("group"), topic, "*", inbox); err != nil {
		return err
	}
	if err := inbox.awaitExactly(bodies); err != nil {
		return err
	}
	for _, message := range inbox.all() {
		expected := bodies[message.QueueOffset-result.QueueOffset]
		if err := errors.Join(
			equal("body at its offset", expected, string(message.Body)),
			equal("queue", result.MessageQueue.QueueId, message.Queue.QueueId),
		); err != nil {
			return err
		}
	}
	return equal("offset ids", 50, len(strings.Split(result.OffsetMsgID, ",")))
}

func sendHashSelector(s *session) error {
	topic, err := s.topic(8)
	if err != nil {
		return err
	}
	sender, err := s.newProducer(producer.WithQueueSelector(producer.NewHashQueueSelector()))
	if err != nil {
		return err
	}
	s.shutdowns = append(s.shutdowns, sender.Shutdown)
	queues := map[string]int{}
	for range 3 {
		for key := range 20 {
			name := fmt.Sprintf("order-%d", key)
			message := primitive.NewMessage(topic, []byte(name)).WithShardingKey(name)
			result, err := sender.SendSync(context.Background(), message)
			if err != nil {
				return err
			}
			queue := result.MessageQueue.QueueId
			if before, ok := queues[name]; ok && before != queue {
				return fmt.Errorf("%s went to queue %d and %d", name, before, queue)
			}
			queues[name] = queue
		}
	}
	used := map[int]bool{}
	for _, queue := range queues {
		used[queue] = true
	}
	return equal("more than one queue is used", true, len(used) > 1)
}

func sendChosenQueue(s *session) error {
	topic, err := s.topic(4)
	if err != nil {
		return err
	}
	sender, err := s.newProducer(producer.WithQueueSelector(producer.NewManualQueueSelector()))
	if err != nil {
		return err
	}
	s.shutdowns = append(s.shutdowns, sender.Shutdown)
	queues, err := s.admin.FetchPublishMessageQueues(context.Background(), topic)
	if err != nil {
		return err
	}
	for _, queue := range queues {
		message := primitive.NewMessage(topic, []byte("chosen"))
		message.Queue = queue
		result, err := sender.SendSync(context.Background(), message)
		if err != nil {
			return err
		}
		if err := errors.Join(
			equal("queue", queue.QueueId, result.MessageQueue.QueueId), equal("offset", 0, result.QueueOffset),
		); err != nil {
			return err
		}
	}
	return nil
}

func sendCreatesTopic(s *session) error {
	topic := fresh("interop-go-auto")
	if _, err := s.send(topic, 1); err != nil {
		return err
	}
	return eventually("route of an auto-created topic", func() error {
		queues, err := s.admin.FetchPublishMessageQueues(context.Background(), topic)
		return errors.Join(err, equal("queues", 4, len(queues)))
	})
}

func sendProperties(s *session) error {
	topic, err := s.topic(1)
	if err != nil {
		return err
	}
	body := make([]byte, 256)
	for value := range body {
		body[value] = byte(value)
	}
	sent := primitive.NewMessage(topic, body).WithTag("标签").WithKeys([]string{"key-1", "ключ-2"})
	sent.WithProperty("city", "Zürich 🚀")
	result, err := s.sender.SendSync(context.Background(), sent)
	if err != nil {
		return err
	}
	inbox := &inbox{}
	if _, err := s.push(fresh("group"), topic, "*", inbox); err != nil {
		return err
	}
	if err := inbox.awaitExactly([]string{string(body)}); err != nil {
		return err
	}
	stored := inbox.all()[0]
	return errors.Join(
		equal("tag", "标签", stored.GetTags()),
		equal("keys", sent.GetKeys(), stored.GetKeys()),
		equal("user property", "Zürich 🚀", stored.GetProperty("city")),
		equal("message id", result.MsgID, stored.MsgId),
		equal("offset id", result.OffsetMsgID, stored.OffsetMsgId),
		equal("topic", topic, stored.Topic),
		equal("region", "DefaultRegion", stored.GetProperty("MSG_REGION")),
		equal("store time is about now", true, time.Since(time.UnixMilli(stored.StoreTimestamp)).Abs() < 2*deadline),
	)
}

func noise(size int) []byte {
	body := make([]byte, size)
	source := rand.New(rand.NewPCG(uint64(size), 1))
	for index := range body {
		body[index] = byte(source.Uint32())
	}
	return body
}

// oneBody sends a body with compression up to the client, and has it pushed back.
func oneBody(s *session, body []byte, options ...producer.Option) (*primitive.MessageExt, error) {
	topic, err := s.topic(1)
	if err != nil {
		return nil, err
	}
	sender, err := s.newProducer(options...)
	if err != nil {
		return nil, err
	}
	s.shutdowns = append(s.shutdowns, sender.Shutdown)
	if _, err := sender.SendSync(context.Background(), primitive.NewMessage(topic, body)); err != nil {
		return nil, err
	}
	inbox := &inbox{}
	if _, err := s.push(fresh("group"), topic, "*", inbox); err != nil {
		return nil, err
	}
	if err := eventually("the message", func() error { return equal("messages", 1, len(inbox.all())) }); err != nil {
		return nil, err
	}
	message := inbox.all()[0]
	return message, equal("body unchanged", true, bytes.Equal(body, message.Body))
}

func bodyLargest(s *session) error {
	_, err := oneBody(s, noise(limit), producer.WithCompressMsgBodyOverHowmuch(2*limit))
	return err
}

func bodyOverLimit(s *session) error {
	_, err := oneBody(s, noise(limit+1), producer.WithCompressMsgBodyOverHowmuch(2*limit))
	return refused("a body of 4 MiB and one byte", messageIllegal, err)
}

func bodyCompressed(s *session) error {
	message, err := oneBody(s, []byte(strings.Repeat("the same words again and again ", 40_000)))
	if err != nil {
		return err
	}
	return equal("stored compressed", true, int(message.StoreSize) < len(message.Body)/10)
}

func adminTopic(s *session) error {
	ctx := context.Background()
	topic, err := s.topic(3)
	if err != nil {
		return err
	}
	listed := func() (bool, error) {
		list, err := s.admin.FetchAllTopicList(ctx)
		if err != nil {
			return false, err
		}
		for _, one := range list.TopicList {
			if one == topic {
				return true, nil
			}
		}
		return false, nil
	}
	if found, err := listed(); err != nil || !found {
		return fmt.Errorf("a new topic is listed: %v, %w", found, err)
	}
	if err := s.admin.DeleteTopic(ctx, admin.WithTopicDelete(topic), admin.WithBrokerAddrDelete(s.broker)); err != nil {
		return err
	}
	return eventually("the topic to go", func() error {
		found, err := listed()
		return errors.Join(err, equal("listed", false, found))
	})
}

func refuseTopicName(s *session) error {
	_, err := s.sender.SendSync(context.Background(), primitive.NewMessage("bad/topic", []byte("x")))
	return refused("an illegal topic name", invalidParameter, err)
}
