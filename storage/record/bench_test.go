package record

import (
	"strconv"
	"testing"
)

// records of 100 B: a key of 8 and a value of 92 bytes, half of it noise.
func benchRecords(n int) []Record {
	recs := make([]Record, n)
	for i := range recs {
		value := []byte("sensor reading, the same words in every record: ")
		for j := uint64(i); len(value) < 92; j = j*6364136223846793005 + 1442695040888963407 {
			value = strconv.AppendUint(value, j>>40, 36)
		}
		key := []byte("key-" + strconv.Itoa(1000+i%9000))
		recs[i] = Record{Timestamp: 1767225600000 + int64(i), Key: key, Value: value[:92]}
	}
	return recs
}

func perRecord(b *testing.B, n int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/record")
	b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds()/1e6, "Mrecords/s")
	b.ReportAllocs()
}

func BenchmarkReader(b *testing.B) {
	for _, c := range codecs {
		b.Run(c.String(), func(b *testing.B) {
			batch := build(c, 0, benchRecords(1000))
			var r Reader
			var rec Record
			for b.Loop() {
				if _, err := r.Reset(batch, 0); err != nil {
					b.Fatal(err)
				}
				for r.Next(&rec) {
				}
				if r.Err() != nil {
					b.Fatal(r.Err())
				}
			}
			perRecord(b, 1000)
		})
	}
}

func BenchmarkValidate(b *testing.B) {
	for _, c := range codecs {
		b.Run(c.String(), func(b *testing.B) {
			batch := build(c, 0, benchRecords(1000))
			for b.Loop() {
				if _, err := Validate(batch, Limits{}); err != nil {
					b.Fatal(err)
				}
			}
			perRecord(b, 1000)
		})
	}
}

func BenchmarkAppend(b *testing.B) {
	recs := benchRecords(1000)
	bl := NewBuilder(CodecNone)
	for b.Loop() {
		bl.Reset(0, 0)
		for i := range recs {
			bl.Append(recs[i].Timestamp, recs[i].Key, recs[i].Value, nil)
		}
	}
	perRecord(b, len(recs))
}

func BenchmarkBuild(b *testing.B) {
	for _, c := range codecs {
		b.Run(c.String(), func(b *testing.B) {
			recs := benchRecords(1000)
			bl := NewBuilder(c)
			for i := range recs {
				bl.Append(recs[i].Timestamp, recs[i].Key, recs[i].Value, nil)
			}
			var dst []byte
			for b.Loop() {
				dst = bl.Build(dst[:0])
			}
			perRecord(b, len(recs))
		})
	}
}

func BenchmarkHeaderAndSplit(b *testing.B) {
	batch := build(CodecNone, 0, benchRecords(10))
	for b.Loop() {
		one, _, err := Split(batch)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := ParseHeader(one); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMurmur2(b *testing.B) {
	key := []byte("customer-0001742")
	for b.Loop() {
		PartitionForKey(key, 12)
	}
}
