package data

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// facts are known numbers of a dataset, to the digits in which they are usually given.
type facts struct {
	train, test []int // images per class
	mean, std   float64
}

func checkFacts(t *testing.T, name, dir string, want facts) {
	t.Helper()
	d, err := Open(name, dir)
	if err != nil {
		t.Fatal(err)
	}
	if d.Modified {
		t.Fatalf("%s is not the official data", d.folder)
	}
	train, err := d.Train()
	if err != nil {
		t.Fatal(err)
	}
	test, err := d.Test()
	if err != nil {
		t.Fatal(err)
	}
	for _, split := range []struct {
		name string
		im   *Images
		want []int
	}{{"training", train, want.train}, {"test", test, want.test}} {
		counts := make([]int, d.Classes)
		for _, label := range split.im.Labels {
			counts[label]++
		}
		if diff := cmp.Diff(split.want, counts); diff != "" {
			t.Errorf("%s images per class (-want +got):\n%s", split.name, diff)
		}
	}
	mean, std := train.Statistics()
	if math.Abs(mean[0]-want.mean) > 5e-5 || math.Abs(std[0]-want.std) > 5e-5 {
		t.Errorf("mean %.5f, standard deviation %.5f, want %v, %v", mean[0], std[0], want.mean, want.std)
	}
}

func TestMNIST(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		if err := Get(t.Context(), "mnist", dir, t.Logf); err != nil {
			t.Fatal(err)
		}
	}
	checkFacts(t, "mnist", dir, facts{
		train: []int{5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949},
		test:  []int{980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009},
		mean:  0.1307, std: 0.3081,
	})
}

func TestFashionMNIST(t *testing.T) {
	const dir = "../../data"
	if _, err := os.Stat(filepath.Join(dir, "fashion-mnist")); err != nil {
		t.Skip("Fashion-MNIST has not been got: ", err)
	}
	checkFacts(t, "fashion-mnist", dir, facts{
		train: []int{6000, 6000, 6000, 6000, 6000, 6000, 6000, 6000, 6000, 6000},
		test:  []int{1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000},
		mean:  0.2860, std: 0.3530,
	})
}
