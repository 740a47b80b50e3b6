package python

import (
	"archive/zip"
	"bytes"
	"embed"
	"io/fs"
)

// sources are the modules of the worker.
//
//go:embed sixcall/__init__.py sixcall/errors.py sixcall/worker/*.py sixcall/worker/stubs/*.py
var sources embed.FS

// start is what an interpreter runs that is given the archive.
const start = "from sixcall.worker.__main__ import main\nmain()\n"

// archive returns the worker as a zip file, which an interpreter runs like a script.
func archive() ([]byte, error) {
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	add := func(name string, content []byte) error {
		w, err := z.Create(name)
		if err == nil {
			_, err = w.Write(content)
		}
		return err
	}
	err := fs.WalkDir(sources, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || len(name) < 3 || name[len(name)-3:] != ".py" {
			return err
		}
		content, err := sources.ReadFile(name)
		if err != nil {
			return err
		}
		return add(name, content)
	})
	if err == nil {
		err = add("__main__.py", []byte(start))
	}
	if err == nil {
		err = z.Close()
	}
	return out.Bytes(), err
}
