// One measurement of sarama: `sarama '<job as JSON>'`. Its last line of output is what it has measured.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/IBM/sarama"
)

const (
	valueSize       = 200
	valueCount      = 16_384
	keyCount        = 4_096
	recordsInFlight = 1_000
	// So many records share one look at the clock, and one latency that is kept.
	sampleEvery   = 16
	warmUpSeconds = 1
)

type job struct {
	Kind       string
	Mode       string
	Brokers    string
	Topic      string
	Group      string
	Idempotent bool
	WarmUp     int
	Records    int
	Seconds    float64
}

type percentiles struct {
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
}

type measured struct {
	Records    int          `json:"records"`
	Total      int          `json:"total"`
	Seconds    float64      `json:"seconds"`
	CPUSeconds float64      `json:"cpuSeconds"`
	PeakRssMb  int64        `json:"peakRssMb"`
	Latency    *percentiles `json:"latency,omitempty"`
}

var keys, values [][]byte

func makeRecords() {
	for i := 0; i < keyCount; i++ {
		keys = append(keys, []byte(fmt.Sprintf("key-%06d", i)))
	}
	filler := strings.Repeat("a", valueSize-12)
	for i := 0; i < valueCount; i++ {
		values = append(values, []byte(fmt.Sprintf("%012d%s", i, filler)))
	}
}

func message(topic string, index int) *sarama.ProducerMessage {
	return &sarama.ProducerMessage{
		Topic: topic,
		Key:   sarama.ByteEncoder(keys[index%keyCount]),
		Value: sarama.ByteEncoder(values[index%valueCount]),
	}
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func usage() (float64, int64) {
	var r syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &r))
	cpu := time.Duration(r.Utime.Nano() + r.Stime.Nano())
	return cpu.Seconds(), r.Maxrss / 1024
}

// What a run has sent, with the latencies that it kept.
type sent struct {
	count     int
	latencies []time.Duration
}

// As fast as the producer takes them, until so many are sent or the time is up.
func async(client sarama.Client, topic string, first, records int, limit time.Duration) sent {
	producer, err := sarama.NewAsyncProducerFromClient(client)
	must(err)
	var result sent
	var done sync.WaitGroup
	done.Add(1)
	go func() {
		defer done.Done()
		for message := range producer.Successes() {
			if message.Metadata != nil {
				result.latencies = append(result.latencies, time.Since(message.Metadata.(time.Time)))
			}
			result.count++
		}
	}()
	go func() {
		for err := range producer.Errors() {
			must(err)
		}
	}()
	deadline := time.Now().Add(limit)
	for i := 0; i < records; i++ {
		next := message(topic, first+i)
		if i%sampleEvery == 0 {
			now := time.Now()
			if now.After(deadline) {
				break
			}
			next.Metadata = now
		}
		producer.Input() <- next
	}
	producer.AsyncClose()
	done.Wait()
	return result
}

// Each of so many goroutines sends one record after the other.
func synchronous(client sarama.Client, topic string, first, records, lanes int, limit time.Duration) sent {
	producer, err := sarama.NewSyncProducerFromClient(client)
	must(err)
	var next, count atomic.Int64
	var lock sync.Mutex
	var result sent
	var done sync.WaitGroup
	deadline := time.Now().Add(limit)
	for lane := 0; lane < lanes; lane++ {
		done.Add(1)
		go func() {
			defer done.Done()
			var latencies []time.Duration
			for {
				i := int(next.Add(1)) - 1
				start := time.Now()
				if i >= records || start.After(deadline) {
					break
				}
				_, _, err := producer.SendMessage(message(topic, first+i))
				must(err)
				count.Add(1)
				latencies = append(latencies, time.Since(start))
			}
			lock.Lock()
			result.latencies = append(result.latencies, latencies...)
			lock.Unlock()
		}()
	}
	done.Wait()
	must(producer.Close())
	result.count = int(count.Load())
	return result
}

// Reads a topic as a member of a group, checks that no record of a key is missing or out of order, and counts them.
type reader struct {
	records int64
	count   atomic.Int64
	// By key, which is always in one partition: so each place belongs to one goroutine at a time.
	last [keyCount]int
	// Called once there are so many records.
	done func()
}

func (r *reader) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (r *reader) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (r *reader) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case message, open := <-claim.Messages():
			if !open {
				return nil
			}
			r.see(number(message.Key[4:10]), number(message.Value[:12]))
			session.MarkMessage(message, "")
			if r.count.Add(1) == r.records {
				r.done()
			}
		case <-session.Context().Done():
			return nil
		}
	}
}

func (r *reader) see(key, index int) {
	expected := key
	if r.last[key] >= 0 {
		expected = (r.last[key] + keyCount) % valueCount
	}
	if index != expected {
		must(fmt.Errorf("of key %d, value %d came instead of %d", key, index, expected))
	}
	r.last[key] = index
}

func number(digits []byte) int {
	number := 0
	for _, digit := range digits {
		number = number*10 + int(digit-'0')
	}
	return number
}

// Marked records are committed when the group is left.
func read(job job, config *sarama.Config, group string, records int) int {
	member, err := sarama.NewConsumerGroup(strings.Split(job.Brokers, ","), group, config)
	must(err)
	ctx, cancel := context.WithCancel(context.Background())
	r := &reader{records: int64(records), done: cancel}
	for i := range r.last {
		r.last[i] = -1
	}
	for ctx.Err() == nil {
		must(member.Consume(ctx, []string{job.Topic}, r))
	}
	must(member.Close())
	return int(r.count.Load())
}

func percentilesOf(latencies []time.Duration) *percentiles {
	if len(latencies) == 0 {
		return nil
	}
	sort.Slice(latencies, func(a, b int) bool { return latencies[a] < latencies[b] })
	at := func(share float64) float64 {
		index := int(math.Min(share*float64(len(latencies)), float64(len(latencies)-1)))
		return float64(latencies[index].Nanoseconds()) / 1e3
	}
	return &percentiles{at(0.5), at(0.99), at(0.999)}
}

func main() {
	var job job
	must(json.Unmarshal([]byte(os.Args[1]), &job))
	makeRecords()
	config := sarama.NewConfig()
	config.Version = sarama.V3_6_0_0
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Return.Successes = true
	if job.Idempotent {
		config.Producer.Idempotent = true
		config.Net.MaxOpenRequests = 1
	}
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	if job.Kind == "read" {
		read(job, config, job.Group+"-warm-up", job.WarmUp)
		cpu, _ := usage()
		start := time.Now()
		count := read(job, config, job.Group, job.Records)
		seconds := time.Since(start).Seconds()
		if count != job.Records {
			must(fmt.Errorf("%d records instead of %d", count, job.Records))
		}
		after, peak := usage()
		report(measured{Records: count, Total: count, Seconds: seconds, CPUSeconds: after - cpu, PeakRssMb: peak})
		return
	}
	client, err := sarama.NewClient(strings.Split(job.Brokers, ","), config)
	must(err)
	run := func(first, records int, seconds float64) sent {
		limit := time.Duration(seconds * float64(time.Second))
		switch job.Mode {
		case "sendAll":
			return async(client, job.Topic, first, records, limit)
		case "send-1000":
			return synchronous(client, job.Topic, first, records, recordsInFlight, limit)
		case "send-1":
			return synchronous(client, job.Topic, first, records, 1, limit)
		}
		must(fmt.Errorf("sarama has no %s", job.Mode))
		return sent{}
	}
	warmUp := run(0, job.WarmUp, warmUpSeconds)
	cpu, _ := usage()
	start := time.Now()
	result := run(warmUp.count, job.Records, job.Seconds)
	seconds := time.Since(start).Seconds()
	after, peak := usage()
	must(client.Close())
	report(measured{
		Records:    result.count,
		Total:      warmUp.count + result.count,
		Seconds:    seconds,
		CPUSeconds: after - cpu,
		PeakRssMb:  peak,
		Latency:    percentilesOf(result.latencies),
	})
}

func report(result measured) {
	line, err := json.Marshal(result)
	must(err)
	fmt.Println(string(line))
}
