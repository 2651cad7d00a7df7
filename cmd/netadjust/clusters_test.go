package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"netadjust/harness"
)

// TestKubernetesJob reads the Job in docs/clusters.md and checks what the worker relies on.
func TestKubernetesJob(t *testing.T) {
	_, text, found := strings.Cut(read(t, "../../docs/clusters.md"), "```yaml\n")
	text, _, closed := strings.Cut(text, "```")
	if !found || !closed {
		t.Fatal("no YAML in docs/clusters.md")
	}
	var job struct {
		APIVersion, Kind string
		Metadata         map[string]string
		Spec             struct {
			CompletionMode, PodReplacementPolicy           string
			Completions, Parallelism, BackoffLimitPerIndex int
			PodFailurePolicy                               struct{ Rules []map[string]any }
			Template                                       struct {
				Spec struct {
					RestartPolicy                 string
					TerminationGracePeriodSeconds int
					Containers                    []struct {
						Name, Image  string
						Command      []string
						Env          []map[string]string
						Resources    map[string]any
						VolumeMounts []map[string]any
					}
					Volumes []map[string]any
				}
			}
		}
	}
	asJSON, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	known := json.NewDecoder(bytes.NewReader(asJSON))
	known.DisallowUnknownFields()
	if err := known.Decode(&job); err != nil {
		t.Fatal(err)
	}
	s := job.Spec
	command := s.Template.Spec.Containers[0].Command
	last := len(command) - 1
	shard := strings.Replace(command[last], "$(JOB_COMPLETION_INDEX)", "7", 1)
	if job.Kind != "Job" || s.CompletionMode != "Indexed" || s.Template.Spec.RestartPolicy != "Never" || s.Completions != 8 ||
		!slices.Equal(command[:2], []string{"netadjust", "run"}) || command[last-1] != "--shard" || new(harness.Shard).Set(shard) != nil {
		t.Errorf("%+v", job)
	}
	if rules := s.PodFailurePolicy.Rules; len(rules) != 2 || rules[1]["action"] != "FailIndex" {
		t.Errorf("rules %v", rules)
	}
}
