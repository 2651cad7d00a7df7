package lease

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// asHolder is set in the environment of a child process that takes the lease of that path and waits to be killed.
const asHolder = "NETADJUST_TEST_LEASE"

func TestMain(m *testing.M) {
	if path := os.Getenv(asHolder); path != "" {
		if _, _, err := Take(context.Background(), path); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("taken")
		time.Sleep(time.Hour)
	}
	os.Exit(m.Run())
}

// holder starts a process that holds the lease.
func holder(t *testing.T, path string) *os.Process {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Env = append(os.Environ(), asHolder+"="+path)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "taken\n" {
		t.Fatalf("the other process says %q, %v", line, err)
	}
	return cmd.Process
}

func take(t *testing.T, path string) (context.Context, *Lease) {
	t.Helper()
	ctx, l, err := Take(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return ctx, l
}

// wantTaken checks that nobody else can have the lease.
func wantTaken(t *testing.T, path string, pid int) {
	t.Helper()
	_, _, err := Take(t.Context(), path)
	taken, ok := errors.AsType[*Taken](err)
	if !ok || taken.Owner.PID != pid || !strings.Contains(err.Error(), fmt.Sprintf("taken by process %d on ", pid)) {
		t.Errorf("error %v, want that process %d has the lease", err, pid)
	}
}

// wantEmpty checks that nothing is left in the folder of the lease.
func wantEmpty(t *testing.T, path string) {
	t.Helper()
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestTakeAndRelease(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lease")
	if _, err := Holder(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("holder of a free lease: error %v", err)
	}
	for range 2 {
		ctx, l := take(t, path)
		wantTaken(t, path, os.Getpid())
		if ctx.Err() != nil || !l.held() {
			t.Error("the lease is lost as soon as another asks for it")
		}
		if err := l.Release(); err != nil {
			t.Fatal(err)
		}
		if ctx.Err() == nil {
			t.Error("the context goes on without the lease")
		}
		wantEmpty(t, path)
	}
	if _, _, err := Take(t.Context(), filepath.Join(path, "missing", "lease")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v for a lease without a folder", err)
	}
}

func TestDeadOwnerOfThisHost(t *testing.T) {
	if !locks || boot() == "" {
		t.Skip("this system does not tell that an owner is dead")
	}
	path := filepath.Join(t.TempDir(), "lease")
	other := holder(t, path)
	wantTaken(t, path, other.Pid)
	if err := other.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Wait(); err != nil {
		t.Fatal(err)
	}
	_, l := take(t, path)
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	wantEmpty(t, path)
}

// foreign makes a lease that an owner on another host has shown to be alive so long ago.
func foreign(t *testing.T, path string, ago time.Duration) {
	t.Helper()
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(path, ownerFile)
	text := `{"host": "far", "boot": "another", "pid": 7, "token": "FAR"}`
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	then := time.Now().Add(-ago)
	if err := os.Chtimes(file, then, then); err != nil {
		t.Fatal(err)
	}
}

func TestOwnerOnAnotherHost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lease")
	foreign(t, path, stale-time.Minute)
	wantTaken(t, path, 7)
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	foreign(t, path, stale+time.Second)
	ctx, l := take(t, path)

	// A third process has judged the first lease, too, but is late.
	if err := os.Rename(path, path+".dead-FAR"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("the lease of the second owner can be moved for that of the first: %v", err)
	}
	// The second owner has been away for so long that it is taken for dead.
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	foreign(t, path, 0)
	if l.held() {
		t.Error("the second owner does not see that the lease is lost")
	}
	if err := l.Release(); err != nil || ctx.Err() == nil {
		t.Error(err, ctx.Err())
	}
	if owner, err := Holder(path); err != nil || owner.Token != "FAR" {
		t.Errorf("a lost lease was released: %+v, %v", owner, err)
	}
}

// A lease that nobody can read stops nobody once it is stale, but a folder that is no lease does.
func TestDamagedLease(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lease")
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Take(t.Context(), path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("error %v for a folder without an owner", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	foreign(t, path, stale+time.Minute)
	if err := os.Truncate(filepath.Join(path, ownerFile), 3); err != nil {
		t.Fatal(err)
	}
	then := time.Now().Add(-2 * stale)
	if err := os.Chtimes(filepath.Join(path, ownerFile), then, then); err != nil {
		t.Fatal(err)
	}
	_, l := take(t, path)
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	wantEmpty(t, path)
}

// TestOneOwnerAtATime lets many ask for a lease that is released, or whose owner seems dead, again and again.
func TestOneOwnerAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lease")
	foreign(t, path, stale+time.Minute)
	var owners, turns atomic.Int32
	var running sync.WaitGroup
	for range 8 {
		running.Go(func() {
			for turns.Load() < 100 {
				_, l, err := Take(t.Context(), path)
				if _, taken := errors.AsType[*Taken](err); taken {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if owners.Add(1) != 1 {
					t.Error("two have the lease")
				}
				turns.Add(1)
				owners.Add(-1)
				if err := l.Release(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	running.Wait()
	wantEmpty(t, path)
}

// TestBury checks that the lease of a dead owner goes, and that of one who may live stays.
func TestBury(t *testing.T) {
	folder := t.TempDir()
	dead, alive := filepath.Join(folder, "dead.lease"), filepath.Join(folder, "alive.lease")
	foreign(t, dead, 2*stale)
	foreign(t, alive, stale/2)
	for _, path := range []string{dead, alive, filepath.Join(folder, "none.lease")} {
		if err := Bury(t.Context(), path); err != nil {
			t.Error(err)
		}
	}
	left, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil || !slices.Equal(left, []string{alive}) {
		t.Errorf("left: %v, %v", left, err)
	}
}

// Folders of leases that a kill has left go after an hour, and nothing else does.
func TestSweepOld(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	for name, age := range map[string]time.Duration{
		"a.lease.new-1": 2 * time.Hour, "a.lease.dead-1": 2 * time.Hour, "b.lease.new-2": time.Minute,
		"c.lease": 2 * time.Hour, "notes.new-1": 2 * time.Hour,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Join(path, "inside"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	if err := SweepOld(filepath.Join(dir, "*lease"), now); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(left) != 3 {
		t.Errorf("left: %v, %v", left, err)
	}
}
