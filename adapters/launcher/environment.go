package launcher

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// longestConfig is the size from which the configuration goes through a file: the
// kernel takes no variable of 128 KiB or more.
const longestConfig = 100 << 10

// The two families of variables: the first is that of the documents, the second
// LMCache's newer one.
const (
	prefixPlugin  = "LMCACHE_PLUGIN_"
	prefixRuntime = "LMCACHE_RUNTIME_PLUGIN_"
)

// environment returns the variables of every plugin of these options. file is the
// configuration file that was written, "" = it fits a variable.
func environment(o Options) (env []string, file string, err error) {
	config := o.Config
	if len(config) == 0 {
		config = json.RawMessage("{}")
	}
	if !json.Valid(config) {
		return nil, "", fmt.Errorf("the configuration for plugins is not JSON")
	}
	if len(config) > longestConfig {
		if file, err = writeConfig(config); err != nil {
			return nil, "", err
		}
		config, _ = json.Marshal(map[string]string{"config_file": file})
	}
	ours := map[string]string{"PYTHONUNBUFFERED": "1"}
	for prefix, role := range map[string]string{prefixPlugin: strings.ToUpper(o.Role), prefixRuntime: strings.ToLower(o.Role)} {
		ours[prefix+"ROLE"] = role
		ours[prefix+"CONFIG"] = string(config)
		ours[prefix+"WORKER_ID"] = strconv.Itoa(o.WorkerID)
		ours[prefix+"WORKER_COUNT"] = strconv.Itoa(o.WorkerCount)
		if file != "" {
			ours[prefix+"CONFIG_FILE"] = file
		}
	}
	env = slices.DeleteFunc(os.Environ(), func(line string) bool {
		name, _, _ := strings.Cut(line, "=")
		_, mine := ours[name]
		return mine || strings.HasPrefix(name, prefixPlugin) || strings.HasPrefix(name, prefixRuntime)
	})
	for name, value := range ours {
		env = append(env, name+"="+value)
	}
	return env, file, nil
}

// writeConfig writes the configuration, which may hold secrets, to a file that only
// this user can read, in a folder of its own.
func writeConfig(config []byte) (string, error) {
	dir, err := os.MkdirTemp("", "sixcall-plugins-") // mode 0700
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "config.json")
	if err := os.WriteFile(path, config, 0o600); err != nil {
		_ = os.RemoveAll(dir)
		return "", err
	}
	return path, nil
}
