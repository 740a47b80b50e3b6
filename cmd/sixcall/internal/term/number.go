package term

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Count returns n with a comma between groups of three digits.
func Count(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return sign + b.String()
}

// Bytes returns n in the decimal unit that keeps it short.
func Bytes(n int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB", "PB", "EB"}
	v := float64(n)
	unit := 0
	for math.Abs(v) >= 999.95 && unit < len(units)-1 {
		v /= 1000
		unit++
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", v, units[unit])
}

// Micros returns a time in microseconds in the unit that keeps it short.
func Micros(us float64) string {
	switch {
	case us >= 1e6:
		return fmt.Sprintf("%.2f s", us/1e6)
	case us >= 1e3:
		return fmt.Sprintf("%.2f ms", us/1e3)
	}
	return fmt.Sprintf("%.1f µs", us)
}

// Rate returns bytes per time in GB/s, "-" when there is none.
func Rate(bytes int64, d time.Duration) string {
	if bytes == 0 || d <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", float64(bytes)/d.Seconds()/1e9)
}

// Percent returns a part of 1 in percent.
func Percent(part float64) string { return fmt.Sprintf("%.1f %%", part*100) }
