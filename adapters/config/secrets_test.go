package config_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestPrintingMasksSecrets(t *testing.T) {
	t.Parallel()
	a := parse(t, with(`"adapter_params":{
		"url": "redis://user:hunter2@host:6379/0", "plain": "shown", "port": 6379,
		"password": "hunter2", "Auth_Token": ["hunter2"], "aws_secret_access_key": "hunter2",
		"access_key_id": "hunter2", "nested": {"secrets": {"a": "hunter2"}, "list": [{"PASSWORD": 5}]},
		"redis_password": {"$env": "REDIS_PASSWORD"}, "token": {"$file": "/run/secrets/token"}
	},"serde":{"type":"x","token":"hunter2"}`))[0]

	marshalled, err := json.Marshal(a)
	require.NoError(t, err)
	inner, err := json.Marshal(map[string]any{"x": a.NativePlugin})
	require.NoError(t, err)
	core, logs := observer.New(zap.DebugLevel)
	zap.New(core).Info("x", zap.Any("config", a))
	for _, shown := range []string{
		a.String(), string(marshalled), string(inner), fmt.Sprint(a), fmt.Sprintf("%+v", a), fmt.Sprintf("%#v", a),
		fmt.Sprintf("%+v", *a.NativePlugin), fmt.Sprintf("%#v", *a.NativePlugin), fmt.Sprint(*a.Serde), fmt.Sprint(&a),
		fmt.Sprint(logs.All()[0].ContextMap()),
	} {
		require.NotContains(t, shown, "hunter2")
	}
	require.Contains(t, a.String(), `"adapter_params":{"url":"redis://***@host:6379/0","plain":"shown","port":6379,`+
		`"password":"***","Auth_Token":"***","aws_secret_access_key":"***","access_key_id":"***",`+
		`"nested":{"secrets":"***","list":[{"PASSWORD":"***"}]},`+
		`"redis_password":{"$env":"REDIS_PASSWORD"},"token":{"$file":"/run/secrets/token"}}`)
	require.Contains(t, a.String(), `"serde":{"type":"x","token":"***"}`)
	require.Contains(t, string(a.NativePlugin.AdapterParams), "hunter2", "the connector gets the real text")
}

func TestPrintingBrokenParamsShowsNothing(t *testing.T) {
	t.Parallel()
	a := parse(t, minimal)[0]
	a.NativePlugin.AdapterParams = `{"password":"hunter2"`
	require.NotContains(t, a.String(), "hunter2")
	require.NotContains(t, fmt.Sprint(a.Validate()), "hunter2")
}
