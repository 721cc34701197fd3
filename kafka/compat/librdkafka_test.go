package compat

import (
	"bufio"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// librdkafkaPackage is the npm package whose sources hold librdkafka and its
// tests.
const librdkafkaPackage = "@confluentinc/kafka-javascript@1.10.1"

// librdkafkaTest is a line of testdata/librdkafka.txt.
type librdkafkaTest struct{ number, how, name string }

func librdkafkaTests(t *testing.T) (list []librdkafkaTest) {
	t.Helper()
	f, err := os.Open("testdata/librdkafka.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	line := regexp.MustCompile(`^(\d{4}) (run|slow|skip) +(\w+)( # .+)?$`)
	for sc := bufio.NewScanner(f); sc.Scan(); {
		text := sc.Text()
		if text == "" || text[0] == '#' {
			continue
		}
		m := line.FindStringSubmatch(text)
		if m == nil || (m[2] == "skip") != (m[4] != "") {
			t.Fatalf("testdata/librdkafka.txt: %q is not NUMBER run|slow|skip NAME, with a # REASON to skip", text)
		}
		list = append(list, librdkafkaTest{number: m[1], how: m[2], name: m[3]})
	}
	return list
}

// TestLibrdkafka runs librdkafka's tests against one node.
func TestLibrdkafka(t *testing.T) { runLibrdkafka(t, "classic") }

// TestLibrdkafkaConsumer runs them with groups of the consumer protocol
// (KIP-848). Tests that are about the classic one skip themselves.
func TestLibrdkafkaConsumer(t *testing.T) { runLibrdkafka(t, "consumer") }

func runLibrdkafka(t *testing.T, protocol string) {
	t.Helper()
	full := wanted(t)
	dir := librdkafka(t)
	// Its tests of groups expect that members which start together join together.
	addr := startWith(t, 1, 4, 500*time.Millisecond)
	if err := os.WriteFile(filepath.Join(dir, "test.conf"), []byte("bootstrap.servers="+addr+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, lt := range librdkafkaTests(t) {
		if lt.how == "skip" || lt.how == "slow" && !full {
			continue
		}
		t.Run(lt.number+" "+lt.name, func(t *testing.T) {
			out, err := command{dir: dir, limit: 5 * time.Minute, env: []string{
				"TESTS=" + lt.number, "TEST_KAFKA_VERSION=4.2.0", "TEST_CONSUMER_GROUP_PROTOCOL=" + protocol,
				"LD_LIBRARY_PATH=../src:../src-cpp",
			}}.run(t, filepath.Join(dir, "test-runner"), "-p1", "-Q", "-E")
			if err != nil {
				t.Errorf("%v\n%s", err, tail(strings.ToValidUTF8(out, "?")))
			}
		})
	}
}

// librdkafka builds the library and its tests, once, and returns the tests'
// folder.
func librdkafka(t *testing.T) string {
	t.Helper()
	need(t, "npm", "npm (Debian's package of that name)")
	need(t, "make", "make and a C++ compiler (make, g++)")
	need(t, "g++", "a C++ compiler (g++)")
	dir := workDir(t, "librdkafka")
	source := filepath.Join(dir, "package", "deps", "librdkafka")
	tests := filepath.Join(source, "tests")
	if _, err := os.Stat(filepath.Join(tests, "test-runner")); err == nil {
		return tests
	}
	archive := strings.TrimSpace(command{dir: dir, only: true, limit: 5 * time.Minute}.must(t,
		"npm", "pack", "--silent", librdkafkaPackage))
	command{dir: dir}.must(t, "tar", "xzf", archive)
	build := command{dir: source, limit: 10 * time.Minute}
	build.must(t, "./configure", "--disable-curl", "--disable-sasl")
	build.must(t, "make", "-j2", "libs")
	build.must(t, "make", "-j2", "-C", "tests", "build")
	return tests
}
