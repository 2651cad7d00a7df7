// Package font holds the letters of figures for those who show them: SVG files and pages.
package font

import (
	_ "embed"
	"encoding/base64"
	"fmt"
	"sync"
)

//go:generate python3 subset.py LiberationSerif-Regular.ttf

//go:embed serif.woff2
var serif []byte

// TTF is a font with the same letters, for files that hold their fonts whole.
//
//go:embed serif.ttf
var TTF []byte

// Face is a CSS rule that makes Latin letters, digits and signs of Liberation Serif, and only those, known under its
// family name. Other letters come from whatever serif font the reader has.
var Face = sync.OnceValue(func() string {
	return fmt.Sprintf(`@font-face{font-family:"Liberation Serif";src:url(data:font/woff2;base64,%s) format("woff2")}`,
		base64.StdEncoding.EncodeToString(serif))
})
