package chaos

import "fmt"

// maxFaults bounds a report.
const maxFaults = 50

// Check reads the whole log from the node at url and returns how it breaks
// the history; empty when it keeps every promise. The load must have ended.
func Check(l *Load, url string) (records int, faults []string) {
	c := checker{history: l.History, at: map[string]Place{}}
	c.faults = append(c.faults, l.History.Faults...)
	for p := range l.Partitions {
		c.readAll(l, url, p)
	}
	for value, said := range l.History.Acked {
		if at, ok := c.at[value]; !ok {
			c.fault("acknowledged %q at %v is lost", value, said)
		} else if at != said {
			c.fault("acknowledged %q at %v lies at %v", value, said, at)
		}
	}
	for value := range l.History.Refused {
		if at, ok := c.at[value]; ok {
			c.fault("%q was answered as not applied and lies at %v", value, at)
		}
	}
	for at, value := range l.History.Seen {
		if c.at[value] != at {
			c.fault("a reader saw %q at %v; it is not there in the end", value, at)
		}
	}
	return len(c.at), c.faults
}

type checker struct {
	history *History
	at      map[string]Place
	faults  []string
}

func (c *checker) readAll(l *Load, url string, p int32) {
	for next := int64(0); ; {
		page, err := l.page(url, p, next, "")
		if err != nil {
			c.fault("final read: %v", err)
			return
		}
		for _, r := range page.Records {
			if r.Offset != next {
				c.fault("partition %d: offset %d follows %d", p, r.Offset, next-1)
			}
			next = r.Offset + 1
			c.note(Place{p, r.Offset}, r.Value)
		}
		if len(page.Records) == 0 {
			if next != page.HighWatermark {
				c.fault("partition %d: %d records below the high watermark %d", p, next, page.HighWatermark)
			}
			return
		}
	}
}

func (c *checker) note(at Place, value string) {
	if before, ok := c.at[value]; ok {
		c.fault("%q lies at %v and at %v", value, before, at)
	}
	if !c.history.Sent[value] {
		c.fault("%q at %v was never sent", value, at)
	}
	c.at[value] = at
}

func (c *checker) fault(format string, args ...any) {
	if len(c.faults) < maxFaults {
		c.faults = append(c.faults, fmt.Sprintf(format, args...))
	}
}
