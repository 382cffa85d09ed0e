package main

import (
	"context"
	"fmt"
	"log"
	"net"

	"github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

func main() {
	addresses, err := net.LookupHost("orders-namesrv.mq")
	if err != nil {
		log.Fatal(err)
	}
	servers := primitive.NewPassthroughResolver([]string{addresses[0] + ":9876"})
	sender, err := rocketmq.NewProducer(producer.WithNsResolver(servers), producer.WithGroupName("billing"))
	if err != nil {
		log.Fatal(err)
	}
	if err := sender.Start(); err != nil {
		log.Fatal(err)
	}
	result, err := sender.SendSync(context.Background(), primitive.NewMessage("order-created", []byte("hello")))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("sent", result.MsgID)
	_ = sender.Shutdown()
}
