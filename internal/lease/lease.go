// Package lease lets processes that share a file system agree who works on what.
//
// A lease is a folder with a file that names its owner. A process makes the folder beside its place and renames it
// there, which one process alone can do. The owner rewrites the file every minute and holds a lock on it. Another process
// takes over when the file has not been written for ten minutes by the clock of the file server, or at once when it runs
// on the same host since the same boot and gets the lock: then the owner is dead. Locks alone would not do, since many
// network file systems have none that other hosts see. An owner that has lost its lease learns it within a minute.
package lease

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const (
	beat  = time.Minute      // between two signs of life
	stale = 10 * time.Minute // without one
)

// Owner is who holds a lease.
type Owner struct {
	Host  string    `json:"host"`
	Boot  string    `json:"boot,omitempty"` // id of the host's boot, "" where the system does not tell
	PID   int       `json:"pid"`
	Job   string    `json:"job,omitempty"` // id given by a cluster's scheduler
	Since time.Time `json:"since"`
	Token string    `json:"token"` // of the lease, never used again
}

func (o Owner) String() string {
	text := fmt.Sprintf("process %d on %s", o.PID, o.Host)
	if o.Job != "" {
		text += ", job " + o.Job
	}
	return text
}

// Taken is the error for a lease that somebody holds.
type Taken struct{ Owner Owner }

func (t *Taken) Error() string { return "taken by " + t.Owner.String() }

// ErrLost is the cause of the end of a context whose lease another process has taken over.
var ErrLost = errors.New("another process has taken over the lease")

// Lease is a lease that this process holds.
type Lease struct {
	path  string
	file  *os.File // names the owner; locked
	text  []byte   // its content
	token string
	end   context.CancelCauseFunc
}

const ownerFile = "owner.json"

// Take takes the lease at path, whose folder must exist. The error is *Taken if somebody else has it. The context that it
// returns is done when ctx is, when the lease is released, and when it is lost.
func Take(ctx context.Context, path string) (context.Context, *Lease, error) {
	owner := Owner{
		Host: hostname(), Boot: boot(), PID: os.Getpid(), Job: os.Getenv("SLURM_JOB_ID"),
		Since: time.Now().UTC().Truncate(time.Second), Token: rand.Text(),
	}
	l := &Lease{path: path, token: owner.Token}
	mine := path + ".new-" + owner.Token
	err := l.make(mine, owner)
	if err == nil {
		err = l.move(mine)
	}
	if err == nil && !locks {
		err = l.open(path)
	}
	if err != nil {
		return nil, nil, errors.Join(err, l.close(), os.RemoveAll(mine))
	}
	ctx, l.end = context.WithCancelCause(ctx)
	go l.keep(ctx)
	return ctx, l, nil
}

// Wait takes the lease at path as soon as it is free.
func Wait(ctx context.Context, path string) (context.Context, *Lease, error) {
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		held, l, err := Take(ctx, path)
		if _, taken := errors.AsType[*Taken](err); !taken {
			return held, l, err
		}
		select {
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		case <-time.After(pause):
		}
	}
}

func hostname() string {
	name, _ := os.Hostname()
	return name
}

// make makes the folder of a lease. Where there are locks the file is locked before anybody can see it; elsewhere a folder
// with an open file may be one that cannot be renamed.
func (l *Lease) make(folder string, owner Owner) (err error) {
	if l.text, err = json.Marshal(owner); err != nil {
		return err
	}
	if err := os.Mkdir(folder, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, ownerFile), l.text, 0o644); err != nil {
		return err
	}
	if !locks {
		return nil
	}
	return l.open(folder)
}

func (l *Lease) open(folder string) (err error) {
	if l.file, err = os.OpenFile(filepath.Join(folder, ownerFile), os.O_RDWR, 0); err == nil && locks {
		_, _ = lock(l.file) // a file system without locks leaves the other rule
	}
	return err
}

func (l *Lease) close() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}

// move puts the folder in its place, out of which it moves a dead lease. It tries again if others come in between.
func (l *Lease) move(mine string) error {
	var err error
	for range 300 {
		if err = os.Rename(mine, l.path); err == nil {
			return nil
		}
		if err := l.bury(mine); err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	return err
}

// bury moves the lease that is in the place away if its owner is dead. The name that it gets is that of this very lease,
// so that a process that has judged it, but comes late, cannot move the next one. The time is that of the folder mine.
func (l *Lease) bury(mine string) error {
	path := filepath.Join(l.path, ownerFile)
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // released in between
	}
	if err != nil {
		return err
	}
	owner, err := Holder(l.path)
	if err != nil {
		owner = Owner{Token: "damaged"}
	}
	dead, err := l.dead(file, owner, mine)
	if dead && same(file, path) {
		if !locks {
			file.Close() // or the folder could not be renamed
		}
		err = os.Rename(l.path, l.path+".dead-"+owner.Token)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) {
			err = nil // another process has moved it
		}
	} else if err == nil && !dead {
		err = &Taken{owner}
	}
	file.Close()
	return err
}

// same tells whether an open file still is the one at path.
func same(file *os.File, path string) bool {
	a, err := file.Stat()
	if err != nil {
		return false
	}
	b, err := os.Stat(path)
	return err == nil && os.SameFile(a, b)
}

// dead tells whether the owner of a lease is. If it died on this host, the file is locked. Else ages count, by the times
// that the file server gives to its file and to one that is written now.
func (l *Lease) dead(file *os.File, owner Owner, mine string) (bool, error) {
	if here := boot(); locks && here != "" && here == owner.Boot {
		if locked, err := lock(file); err == nil {
			return locked, nil
		}
	}
	path := filepath.Join(mine, ownerFile)
	if err := os.WriteFile(path, l.text, 0o644); err != nil {
		return false, err
	}
	now, err := os.Stat(path)
	if err != nil {
		return false, err
	}
	last, err := file.Stat()
	if err != nil {
		return false, err
	}
	return now.ModTime().Sub(last.ModTime()) > stale, nil
}

// keep shows that the owner is alive until ctx is done.
func (l *Lease) keep(ctx context.Context) {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if !l.held() {
				l.end(ErrLost)
				return
			}
			_, _ = l.file.WriteAt(l.text, 0) // if it fails for long, the lease is lost
		}
	}
}

// held tells whether the lease is still that of this process. An error other than that it is gone may pass.
func (l *Lease) held() bool {
	owner, err := Holder(l.path)
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	return owner.Token == l.token
}

// Release gives the lease back. It is out of its place before it is unlocked, so that nobody takes the owner for dead.
func (l *Lease) Release() error {
	l.end(nil)
	if !l.held() {
		return l.close()
	}
	if !locks {
		l.close() // or the folder could not be renamed
	}
	err := os.Rename(l.path, l.path+".dead-"+l.token)
	remains, _ := filepath.Glob(l.path + ".dead-*")
	for _, folder := range remains {
		err = errors.Join(err, os.RemoveAll(folder))
	}
	if !locks {
		return err
	}
	return errors.Join(err, l.close())
}

// Bury removes the lease at path if its owner is dead.
func Bury(ctx context.Context, path string) error {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	_, l, err := Take(ctx, path)
	if _, alive := errors.AsType[*Taken](err); alive {
		return nil
	}
	if err != nil {
		return err
	}
	return l.Release()
}

// SweepOld removes the folders that were to become leases at the paths that match, or have been, and whose processes were
// killed meanwhile: those that are an hour older than the time now, by the clock of the file server.
func SweepOld(match string, now time.Time) error {
	var errs []error
	for _, suffix := range []string{".new-*", ".dead-*"} {
		remains, _ := filepath.Glob(match + suffix)
		for _, folder := range remains {
			if info, err := os.Stat(folder); err == nil && info.IsDir() && now.Sub(info.ModTime()) > time.Hour {
				errs = append(errs, os.RemoveAll(folder))
			}
		}
	}
	return errors.Join(errs...)
}

// Look tells who holds the lease at path and whether that process seems to live, without a change to anything. The error
// is fs.ErrNotExist if nobody holds it.
func Look(path string) (owner Owner, alive bool, err error) {
	if owner, err = Holder(path); err != nil {
		return owner, false, err
	}
	file, err := os.OpenFile(filepath.Join(path, ownerFile), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		file, err = os.Open(filepath.Join(path, ownerFile)) // who may only read can try the lock, too, of a local file
	}
	if err != nil {
		return owner, false, err
	}
	defer file.Close()
	if locked, err := lock(file); err == nil && owner.Boot == boot() && owner.Boot != "" {
		return owner, !locked, nil
	}
	info, err := file.Stat()
	return owner, err == nil && time.Since(info.ModTime()) < stale, err
}

// Holder returns who holds the lease at path. The error is fs.ErrNotExist if nobody does.
func Holder(path string) (Owner, error) {
	var owner Owner
	text, err := os.ReadFile(filepath.Join(path, ownerFile))
	if err != nil {
		return owner, err
	}
	if err := json.Unmarshal(text, &owner); err != nil {
		return owner, fmt.Errorf("%s: %w", path, err)
	}
	return owner, nil
}
