package data

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// debianPackage is a source of files in a package of Debian or a system made from it. The package is downloaded and
// unpacked, not installed: apt gets folders of its own for package lists and downloads, so that neither root's rights
// nor package lists are needed and nothing of the system is changed.
func debianPackage(name string) source {
	return source{"Debian package " + name, func(ctx context.Context, want []string, put putFunc) error {
		for _, tool := range []string{"apt-get", "dpkg"} {
			if _, err := exec.LookPath(tool); err != nil {
				return err
			}
		}
		work, err := os.MkdirTemp("", "netadjust-apt-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(work)
		deb, err := aptDownload(ctx, work, name)
		if err != nil {
			return err
		}
		tarball, err := output(ctx, work, "dpkg", "--fsys-tarfile", deb)
		if err != nil {
			return err
		}
		return unpack(bytes.NewReader(tarball), want, put)
	}}
}

// aptConfig keeps apt inside one folder, %[1]s, and from running what the system has configured to go with an update.
// apt's unprivileged user cannot enter that folder, so root downloads as root. A list that cannot be had is made an
// error, so that the reason is told.
const aptConfig = `
Dir::State "%[1]s/state";
Dir::State::status "/var/lib/dpkg/status";
Dir::Cache "%[1]s/cache";
APT::Sandbox::User "root";
Acquire::Retries "0";
Acquire::http::Timeout "10";
Acquire::https::Timeout "10";
#clear APT::Update;
APT::Update::Error-Mode "any";
`

// aptDownload downloads a package into the folder work and returns its path.
func aptDownload(ctx context.Context, work, name string) (string, error) {
	for _, dir := range []string{"state/lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(work, dir), 0o755); err != nil {
			return "", err
		}
	}
	config := filepath.Join(work, "apt.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, aptConfig, work), 0o644); err != nil {
		return "", err
	}
	// An update that fails for one of the system's repositories may still have got the list that is needed.
	_, updateErr := output(ctx, work, "apt-get", "-qq", "-c", config, "update")
	if _, err := output(ctx, work, "apt-get", "-qq", "-c", config, "download", name); err != nil {
		if updateErr != nil {
			err = fmt.Errorf("%w; before that, %w", err, updateErr)
		}
		return "", err
	}
	debs, err := filepath.Glob(filepath.Join(work, name+"_*.deb"))
	if err != nil {
		return "", err
	}
	if len(debs) != 1 {
		return "", fmt.Errorf("apt-get download %s left %d packages, want 1", name, len(debs))
	}
	return debs[0], nil
}
