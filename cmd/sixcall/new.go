package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sixcall/sixcall/examples"
)

// What the templates are called, and what stands for it in a new project.
const (
	templateName   = "shelf"
	templateVendor = "Shelf"
)

// The name becomes part of identifiers, so '-' of the ABI's names is left out. The
// ELF note has room for 31 bytes.
var goodConnectorName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,30}$`)

func newNew(a *app) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "new NAME",
		Short: "Start a connector: a small project that builds and passes its checks",
		Long: `New writes a project for the connector NAME into a new folder: one source with the
three places that are yours marked, a CMakeLists.txt that needs find_package(Sixcall)
only, a Makefile, a README and a CI file. Values are kept in memory until you put
your client there.

Languages: c, with nothing but the ABI's header; cpp, for a client whose calls block;
cpp-async, for a client with completions of its own.`,
		Example: `  sixcall new acme --lang cpp && cd acme && make check`,
		Args:    exactlyOne("the name of the connector"),
	}
	lang := addChoice(cmd, "lang", "the language and the kind of client", false, "c", "cpp", "cpp-async")
	cmd.Flags().StringVar(&dir, "dir", "", "the folder to make (default: the name)")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		name := args[0]
		if !goodConnectorName.MatchString(name) {
			return fmt.Errorf("the name is %q, want a small letter and up to 30 small letters, digits and _", name)
		}
		if dir == "" {
			dir = name
		}
		if err := writeProject(dir, name, lang.value); err != nil {
			return failed(err)
		}
		fmt.Fprintf(a.stdout, "wrote %s: `make -C %s check` builds it and checks it; its README says what is yours\n", dir, dir)
		return nil
	}
	return cmd
}

// writeProject writes the project of a language; it writes nothing into a folder that is there.
func writeProject(dir, name, lang string) error {
	if _, err := os.Lstat(dir); err == nil {
		return fmt.Errorf("%s is there already; choose another folder with --dir", dir)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	rename := strings.NewReplacer(templateName, name, templateVendor, camel(name))
	root := "connector-" + lang
	return fs.WalkDir(examples.Templates, root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(dir, rename.Replace(strings.TrimPrefix(path, root)))
		if entry.IsDir() {
			return os.MkdirAll(to, 0o755)
		}
		text, err := fs.ReadFile(examples.Templates, path)
		if err != nil {
			return err
		}
		return os.WriteFile(to, []byte(rename.Replace(string(text))), 0o644)
	})
}

// camel turns "acme_store" into "AcmeStore".
func camel(name string) string {
	var b strings.Builder
	for word := range strings.SplitSeq(name, "_") {
		if word != "" {
			b.WriteString(strings.ToUpper(word[:1]) + word[1:])
		}
	}
	return b.String()
}
