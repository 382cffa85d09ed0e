package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// untilCommitted waits until a group's offsets in a topic add up to total. The client itself cannot be asked, and
// what it commits when it closes may be lost: it does not wait for the answers, and if one came meanwhile its kernel
// throws away what was not sent yet.
func (s *server) untilCommitted(group, topic string, queues, total int) error {
	return eventually("commits of "+group, func() error {
		sum := 0
		for queue := range queues {
			offset, err := s.committed(group, topic, queue)
			if err != nil {
				return err
			}
			sum += offset
		}
		return equal("committed", total, sum)
	})
}

// committed asks for one offset.
func (s *server) committed(group, topic string, queue int) (int, error) {
	fields := map[string]string{"consumerGroup": group, "topic": topic, "queueId": strconv.Itoa(queue)}
	answer, err := ask(s.broker, queryConsumerOffset, fields)
	if err != nil {
		return 0, fmt.Errorf("queue %d: %w", queue, err)
	}
	return strconv.Atoi(answer["offset"])
}

// Codes of requests.
const (
	queryConsumerOffset = 14
	getRouteInfo        = 105
)

// ask sends one request without a body over a connection of its own, and returns the fields of its answer.
func ask(address string, code int, fields map[string]string) (map[string]string, error) {
	connection, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return nil, err
	}
	defer func() { _ = connection.Close() }()
	_ = connection.SetDeadline(time.Now().Add(5 * time.Second))
	header, err := json.Marshal(map[string]any{
		"code": code, "language": "OTHER", "version": 0, "opaque": 1, "flag": 0, "extFields": fields,
	})
	if err != nil {
		return nil, err
	}
	frame := binary.BigEndian.AppendUint32(nil, uint32(len(header)+4))
	frame = binary.BigEndian.AppendUint32(frame, uint32(len(header))) // high byte 0: JSON
	if _, err := connection.Write(append(frame, header...)); err != nil {
		return nil, err
	}
	var lengths [2]uint32
	if err := binary.Read(connection, binary.BigEndian, &lengths); err != nil {
		return nil, err
	}
	answer := struct {
		Code      int
		Remark    string
		ExtFields map[string]string
	}{}
	if err := json.NewDecoder(io.LimitReader(connection, int64(lengths[1]&0xffffff))).Decode(&answer); err != nil {
		return nil, err
	}
	if answer.Code != 0 {
		return nil, fmt.Errorf("CODE: %d, %s", answer.Code, answer.Remark)
	}
	return answer.ExtFields, nil
}
