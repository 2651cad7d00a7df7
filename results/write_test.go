package results

import "testing"
import "os"

func TestDemo(t *testing.T) {
	dir := os.Getenv("DEMO")
	fs, err := WriteAll(dir, quick(t, []string{"1.0", "0.5"}, 1, 2, 3), Options{Name: "quick"})
	t.Log(fs, err)
}
