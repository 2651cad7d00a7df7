package results

import ("testing"; "os"; "fmt"; "slices")

func TestBig(t *testing.T) {
	dir := os.Getenv("DEMO2")
	if dir=="" {t.Skip()}
	var rs []*Record
	for i, m := range methodOrder[:9] {
		for _, b := range []string{"1.0","0.5","0.25"} {
			for s := range uint64(5) {
				r := cell(t, m, b, s+1)
				r.Result.Final.TestTop1 += 0.002*float64(i)
				if m == "adjust" {
					// 54 layers, 10 updates
					rep := func(v []int) []int { return slices.Concat(v,v,v) }
					r.Result.Layers = nil
					for l := range 54 { r.Result.Layers = append(r.Result.Layers, fmt.Sprint("conv",l)) }
					r.Result.Start.Channels = rep(r.Result.Start.Channels)
					r.Result.Final.Channels = rep(r.Result.Final.Channels)
					us := r.Result.Updates
					r.Result.Updates = nil
					for k := range 10 {
						u := us[k%3]; u.Index=k
						u.Channels=rep(u.Channels);u.Next=rep(u.Next)
						u.FUR=slices.Concat(u.FUR,u.FUR,u.FUR);u.FURStdErr=slices.Concat(u.FURStdErr,u.FURStdErr,u.FURStdErr)
						u.DropRates=slices.Concat(u.DropRates,u.DropRates,u.DropRates);u.FLOPsPerChannel=slices.Concat(u.FLOPsPerChannel,u.FLOPsPerChannel,u.FLOPsPerChannel)
						for i := range u.FUR { u.FUR[i] -= 0.006*float64(k%3) }
						r.Result.Updates = append(r.Result.Updates,u)
					}
				}
				if err := r.Seal(); err != nil { t.Fatal(err) }
				rs = append(rs, r)
			}
		}
	}
	fs, err := WriteAll(dir, rs, Options{Name: "big"})
	t.Log(fs, err)
	fs, err = WriteAll(dir+"/one", quick(t, []string{"0.5"}, 1), Options{Name: "one"})
	t.Log(fs, err)
}
