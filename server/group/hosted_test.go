package group_test

import (
	"fmt"
	"strings"

	"github.com/chroniklog/chronik/server/group"
)

const hostedForm = "http.00000000-0000-0000-0000-00000000000%s"

// short writes hosted ids in traces as h1, h2, …
var short = strings.NewReplacer(fmt.Sprintf(hostedForm, ""), "h")

func hostedID(number string) string { return fmt.Sprintf(hostedForm, number) }

func attendOf(t group.Token, arg func(key, def string) string, fresh bool) group.Attend {
	return group.Attend{
		Token: t, MemberID: hostedID(arg("id", "1")), New: fresh, Instance: arg("instance", ""), ClientID: "curl",
		Session: duration(arg("session", "10s")), Topics: strings.Split(arg("topics", "t"), ","),
	}
}

// said is a member's metadata, readable.
func said(metadata []byte) string {
	s, err := group.ParseSubscription(metadata)
	if err != nil {
		return string(metadata)
	}
	return fmt.Sprint(s.Topics)
}

// given is an assignment, readable.
func given(assignment []byte) string {
	list, err := group.ParseAssignment(assignment)
	if err != nil {
		return string(assignment)
	}
	return tps(list)
}

func tps(list []group.TopicPartition) string {
	words := make([]string, len(list))
	for i, tp := range list {
		words[i] = fmt.Sprintf("%s/%d", tp.Topic, tp.Partition)
	}
	return "{" + strings.Join(words, " ") + "}"
}
