package quota

import (
	"encoding/json"
	"strconv"
)

// ParseLimit reads the body of LMCache's PUT /quota/{salt}, {"limit_gb": number},
// and returns the limit in bytes. Other keys are ignored. Anything but a finite
// number of 0 or more is [kv.Invalid], which a server answers with 400.
func ParseLimit(body []byte) (int64, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return 0, invalid("the body is not a JSON object: %w", err)
	}
	raw, ok := fields["limit_gb"]
	if !ok {
		return 0, invalid("limit_gb is missing, want a number of GiB")
	}
	// A JSON number starts with a minus or a digit; nothing else does.
	if c := raw[0]; c != '-' && (c < '0' || c > '9') {
		return 0, invalid("limit_gb is %s, want a number of GiB", raw)
	}
	gb, err := strconv.ParseFloat(string(raw), 64)
	if err != nil {
		return 0, invalid("limit_gb is %s, want a finite number", raw)
	}
	return Bytes(gb)
}
