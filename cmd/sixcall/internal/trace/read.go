package trace

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
)

// maxProblems is how many broken lines are reported before reading gives up.
const maxProblems = 10

// ReadFile reads the trace in the named file, "-" for the standard input. limit
// is the largest number of requests to read, 0 = all.
func ReadFile(name string, limit int) ([]Request, error) {
	if name == "-" {
		return Read(os.Stdin, "<stdin>", limit)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return Read(f, name, limit)
}

// Read reads a trace; name is what errors call it. Every broken line is reported
// as name:line and what was expected, up to ten of them. Blank lines are skipped.
func Read(r io.Reader, name string, limit int) ([]Request, error) {
	in := bufio.NewReaderSize(r, 1<<16)
	var requests []Request
	var errs []error
	var signs signs
	for line := 1; limit <= 0 || len(requests) < limit; line++ {
		text, err := in.ReadBytes('\n')
		if err != nil && err != io.EOF {
			return nil, fmt.Errorf("%s:%d: %w", name, line, err)
		}
		last := err == io.EOF
		if line == 1 {
			text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")) // a byte order mark
		}
		if text = bytes.TrimSpace(text); len(text) > 0 {
			request, err := parseLine(text, &signs)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s:%d: %w", name, line, err))
			}
			requests = append(requests, request)
		}
		if len(errs) == maxProblems {
			errs = append(errs, fmt.Errorf("%s: reading stops after %d broken lines", name, maxProblems))
			break
		}
		if last {
			break
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if len(requests) == 0 {
		return nil, fmt.Errorf("%s: no requests, want one JSON object a line, such as %s", name, exampleLine)
	}
	return requests, nil
}

const exampleLine = `{"timestamp":0,"input_length":1024,"output_length":10,"hash_ids":[17,18]}`

func parseLine(text []byte, signs *signs) (Request, error) {
	var raw struct {
		Timestamp    json.RawMessage `json:"timestamp"`
		InputLength  json.RawMessage `json:"input_length"`
		OutputLength json.RawMessage `json:"output_length"`
		HashIDs      json.RawMessage `json:"hash_ids"`
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return Request{}, fmt.Errorf("not JSON at byte %d (%w), want one object such as %s", max(syntax.Offset, 1), syntax, exampleLine)
		}
		return Request{}, fmt.Errorf("not a JSON object, want one such as %s", exampleLine)
	}
	if text[0] != '{' { // null decodes into anything
		return Request{}, fmt.Errorf("not a JSON object, want one such as %s", exampleLine)
	}
	var errs []error
	for _, f := range []struct {
		name string
		raw  json.RawMessage
	}{{"timestamp", raw.Timestamp}, {"input_length", raw.InputLength}, {"output_length", raw.OutputLength}} {
		if f.raw == nil {
			continue // not needed here
		}
		if n, err := strconv.ParseFloat(string(f.raw), 64); err != nil || n < 0 {
			errs = append(errs, fmt.Errorf("%s is %s, want a number, 0 or more", f.name, shorten(f.raw)))
		}
	}
	blocks, err := parseIDs(raw.HashIDs, signs)
	if err != nil {
		errs = append(errs, err)
	}
	if len(errs) > 0 {
		return Request{}, joinLine(errs)
	}
	return Request{Blocks: blocks}, nil
}

func parseIDs(raw json.RawMessage, signs *signs) ([]BlockID, error) {
	switch {
	case raw == nil:
		return nil, errors.New("hash_ids is missing, want an array of 64-bit integers")
	case raw[0] != '[':
		return nil, fmt.Errorf("hash_ids is %s, want an array of 64-bit integers", shorten(raw))
	}
	// The array is valid JSON; only the elements remain to be checked. They are
	// cut out by hand because a decoder would go through float64 or allocate
	// each of them.
	body := bytes.TrimSpace(raw[1 : len(raw)-1])
	if len(body) == 0 {
		return nil, nil
	}
	ids := make([]BlockID, 0, bytes.Count(body, []byte{','})+1)
	for len(body) > 0 {
		elem := body
		if i := bytes.IndexByte(body, ','); i >= 0 {
			elem, body = body[:i], body[i+1:]
		} else {
			body = nil
		}
		elem = bytes.TrimSpace(elem)
		id, err := signs.parse(string(elem))
		if err != nil {
			return nil, fmt.Errorf("hash_ids[%d] is %s, %w", len(ids), shorten(elem), err)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// signs remembers which sorts of ids a trace has. -1 and 2^64-1 have the same
// bits, so a trace with both sorts could mix two blocks up.
type signs struct {
	negative bool // an id below 0 was seen
	large    bool // an id above 2^63-1 was seen
}

func (s *signs) parse(text string) (BlockID, error) {
	var id uint64
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		id = uint64(n)
		s.negative = s.negative || n < 0
	} else if u, err := strconv.ParseUint(text, 10, 64); err == nil {
		id = u
		s.large = s.large || u > math.MaxInt64
	} else {
		return 0, errors.New("want a 64-bit integer")
	}
	if s.negative && s.large {
		return 0, errors.New("want signed or unsigned 64-bit integers, not both in one trace")
	}
	return BlockID(id), nil
}

func shorten(raw []byte) string {
	const longest = 40 // bytes
	if len(raw) <= longest {
		return string(raw)
	}
	return string(bytes.ToValidUTF8(raw[:longest], nil)) + "..."
}

// joinLine joins the problems of one line in one line.
func joinLine(errs []error) error {
	text := errs[0].Error()
	for _, err := range errs[1:] {
		text += "; " + err.Error()
	}
	return errors.New(text)
}
