package main

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"

	"netadjust/harness"
)

// batchScript runs one shard as a task of a job array. The worker gets the signals that only the script is sent. When it
// says that it stopped for such a signal, the task goes back to the queue; whatever else happens, the same array can be
// submitted again.
var batchScript = template.Must(template.New("slurm").Parse(`#!/bin/bash
# {{.Name}}: {{.Cells}} cells in {{.Shards}} shards. Submit it again after any trouble: what is finished is not run again.
#SBATCH --job-name=netadjust-{{.Name}}
#SBATCH --array=0-{{.Last}}{{with .Parallel}}%{{.}}{{end}}
#SBATCH --cpus-per-task={{.CPUs}}
{{- with .Time}}
#SBATCH --time={{.}}
{{- end}}
{{- with .Memory}}
#SBATCH --mem={{.}}
{{- end}}
{{- with .Partition}}
#SBATCH --partition={{.}}
{{- end}}
#SBATCH --output=netadjust-{{.Name}}-%A_%a.log
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=B:USR1@{{.Warning}}
export GOMAXPROCS=$SLURM_CPUS_PER_TASK # not all of the node's, where Slurm does not confine tasks
{{.Program}} run {{.File}} --out {{.Out}} --shard "$SLURM_ARRAY_TASK_ID/{{.Shards}}"{{.More}} &
worker=$!
told=
trap 'told=1; kill -USR1 $worker' USR1
trap 'told=1; kill -TERM $worker' TERM
while kill -0 $worker 2> /dev/null; do wait $worker; done # a signal ends a wait
wait $worker
code=$?
if [ $code -eq 75 ] && [ -n "$told" ]; then # without a signal it is a disk or data, which fail again
	scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID" && exit 0
fi
exit $code
`))

func slurmCommand(a *app, f *flags) error {
	shards := f.Int("shards", 8, "tasks of the job array")
	parallel := f.Int("parallel", 0, "tasks that run at the same time (default: as many as there is room for)")
	cpus := f.Int("cpus", 4, "cores of each task, which runs as many cells at a time")
	limit := f.String("time", "", "time `LIMIT` of a task, as Slurm writes it; at its end it goes back to the queue")
	warning := f.Duration("warning", 2*time.Minute, "`TIME` before the limit at which a task stops")
	memory := f.String("mem", "", "memory of a task, as Slurm writes it")
	partition := f.String("partition", "", "partition to run in")
	out := f.String("out", "", "output `DIR`, which all nodes see (default: out/ and the experiment's name)")
	deviceName := f.device()
	dataDir := f.data()
	set := f.set()
	args, err := f.parse()
	if err != nil {
		return err
	}
	e, _, err := load(args[0], *deviceName, *dataDir, *set...)
	if err != nil {
		return err
	}
	if *shards < 1 || *cpus < 1 || *parallel < 0 || *warning < 0 {
		return failf(exitUsage, "want at least one shard and one core, and neither --parallel nor --warning below 0")
	}
	switch most, ok := timeLimit(*limit); {
	case *limit == "":
	case !ok:
		return failf(exitUsage, "--time %q: want minutes, hours:minutes:seconds or days-hours:minutes:seconds, or UNLIMITED",
			*limit)
	case most <= *warning:
		return failf(exitUsage, "--time %s is not more than --warning %v: a task would be stopped when it starts", *limit,
			*warning)
	}
	if _, err := harness.MakePlan(e); err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	var more strings.Builder
	for _, flag := range [][2]string{{"--data", *dataDir}, {"--device", *deviceName}} {
		if flag[1] != "" && flag[1] != "auto" {
			fmt.Fprintf(&more, " %s %s", flag[0], quote(flag[1]))
		}
	}
	for _, s := range *set {
		fmt.Fprintf(&more, " --set %s", quote(s))
	}
	return batchScript.Execute(a.stdout, map[string]any{
		"Name": e.Name, "Cells": len(e.Cells), "Shards": *shards, "Last": *shards - 1, "Parallel": *parallel, "CPUs": *cpus,
		"Time": *limit, "Warning": int(warning.Seconds()), "Memory": *memory, "Partition": *partition,
		"Program": quote(program), "File": quote(args[0]), "Out": quote(cmp.Or(*out, filepath.Join("out", e.Name))),
		"More": more.String(),
	})
}

// timeLimit reads a time as Slurm writes it: minutes, minutes:seconds, hours:minutes:seconds, days-hours,
// days-hours:minutes or days-hours:minutes:seconds. No limit, also written as 0 or -1, is the longest time there is.
func timeLimit(text string) (limit time.Duration, ok bool) {
	if slices.Contains([]string{"UNLIMITED", "INFINITE", "-1"}, strings.ToUpper(text)) {
		return math.MaxInt64, true
	}
	days, rest, hasDays := strings.Cut(text, "-")
	if !hasDays {
		days, rest = "0", text
	}
	values, err := numbers(days+":"+rest, ":")
	units := []time.Duration{24 * time.Hour, time.Hour, time.Minute, time.Second}
	if !hasDays && len(values) < len(units) {
		units = slices.Delete(units, 1, 2)
	}
	if err != nil || slices.Min(values) < 0 || len(values) > len(units) {
		return 0, false
	}
	for i, v := range values {
		limit += time.Duration(v) * units[i]
	}
	return cmp.Or(limit, math.MaxInt64), true
}

// quote quotes a word for a POSIX shell.
func quote(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }
