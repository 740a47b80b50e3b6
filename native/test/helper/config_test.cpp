// SPDX-License-Identifier: Apache-2.0
//
// The configuration of connector.hpp: what is accepted, and in which words the
// rest is refused.
#include <gtest/gtest.h>

#include <clocale>

#include "scripted.h"

namespace sixcall_test {
namespace {

using sixcall::Config;
using sixcall::Error;

// The text of the Error that fn throws, "" if it throws none.
template <class F>
std::string ErrorOf(F &&fn) {
  try {
    fn();
    return "";
  } catch (const Error &error) {
    EXPECT_EQ(error.code(), SIXCALL_E_CONFIG) << error.text();
    return error.text();
  }
}

std::string ParseError(const std::string &json) {
  return ErrorOf([&] { Config config(json); });
}

TEST(ConfigJson, AcceptsWhatJsonAllows) {
  for (const char *json :
       {"{}", " {} ", "\t\r\n{\n}\n", R"({"a":1})", R"({"a":[],"b":{},"c":null,"d":[1,"x",[{}]]})",
        R"({"a":-0,"b":1.5e+10,"c":0.1,"d":1E-3})", R"({"":1})", "{\"\xC3\xA4\":\"\xF0\x9F\x98\x80\"}"}) {
    EXPECT_EQ(ParseError(json), "") << json;
  }
}

TEST(ConfigJson, RefusesEverythingElse) {
  for (const char *json :
       {"", " ", "[]", "1", "\"x\"", "null", "true", "{", "}", "{}}", "{} {}", "{,}", R"({"a"})", R"({"a":})", R"({"a":1,})",
        R"({"a":1 "b":2})", R"({a:1})", R"({'a':1})", R"({"a":01})", R"({"a":1.})", R"({"a":.5})", R"({"a":+1})", R"({"a":-})",
        R"({"a":1e})", R"({"a":0x10})", R"({"a":NaN})", R"({"a":Infinity})", R"({"a":tru})", R"({"a":truex})", R"({"a":nul})",
        R"({"a":"x})", "{\"a\":\"x\ny\"}", R"({"a":"\x"})", R"({"a":"\u12"})", R"({"a":"\ud800"})", R"({"a":"\ud800\u0041"})",
        R"({"a":"\udc00"})", R"({"a":"\u0000"})", R"({"a":[1,]})", R"({"a":[1 2]})", R"({"a":[)", "{\"a\":1}//", "/**/{}",
        "\xEF\xBB\xBF{}", "{\"\xFF\":1}", "{\"\xC0\x80\":1}", "{\"\xED\xA0\x80\":1}", "{\"\xF5\x80\x80\x80\":1}", "{\"\xC3"}) {
    EXPECT_NE(ParseError(json), "") << json;
  }
  EXPECT_NE(ParseError(std::string("{\"a\":\"\0\"}", 9)), "") << "a NUL byte";
}

TEST(ConfigJson, SaysWhereAndWhy) {
  EXPECT_EQ(ParseError(R"({"a":1,})"), "configuration is not JSON: a key was expected at byte 7");
  EXPECT_EQ(ParseError(R"({"a":tru})"), "configuration is not JSON: unknown word at byte 5");
  EXPECT_EQ(ParseError("[]"), "configuration is not a JSON object such as {}");
  EXPECT_EQ(ParseError(R"({"port":1,"port":2})"), "configuration has the key \"port\" twice");
  EXPECT_EQ(ParseError(R"({"x":{"port":1,"p\u006Frt":2}})"), "configuration has the key \"port\" twice");
  EXPECT_EQ(ParseError("{\"\xFF\":1}"), "configuration is not JSON: invalid UTF-8 at byte 2");
}

TEST(ConfigJson, BoundsDepthAndSize) {
  const auto nested = [](int depth) { return "{\"a\":" + std::string(depth, '[') + std::string(depth, ']') + "}"; };
  EXPECT_EQ(ParseError(nested(31)), "");
  EXPECT_NE(ParseError(nested(32)).find("nested deeper"), std::string::npos);
  EXPECT_NE(ParseError(nested(100000)), "") << "no stack overflow";
  EXPECT_NE(ParseError("{\"a\":\"" + std::string(1 << 20, 'x') + "\"}").find("larger than 1 MiB"), std::string::npos);
}

TEST(ConfigJson, DecodesStrings) {
  const Config config(R"({"a":"\"\\\/\b\f\n\r\t","b":"\u0041\u00e4\u20AC\ud83d\ude00","c":""})");
  EXPECT_EQ(config.GetString("a"), "\"\\/\b\f\n\r\t");
  EXPECT_EQ(config.GetString("b"), "A\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80");
  EXPECT_EQ(config.GetString("c", "otherwise"), "");
  EXPECT_EQ(config.GetString("absent", "otherwise"), "otherwise");
}

TEST(ConfigValues, Integers) {
  const Config config(
      R"({"zero":0,"max":18446744073709551615,"over":18446744073709551616,"min":-9223372036854775808,
          "exp":1e3,"minus":-1,"negzero":-0,"half":1.5,"text":"5","flag":true,"huge":1e300,"big":123456789012345678901234567890})");
  EXPECT_EQ(config.GetUint("zero", 9), 0u);
  EXPECT_EQ(config.GetUint("max", 0), UINT64_MAX);
  EXPECT_EQ(config.GetInt("min", 0), INT64_MIN);
  EXPECT_EQ(config.GetUint("exp", 0), 1000u);
  EXPECT_EQ(config.GetInt("minus", 0), -1);
  EXPECT_EQ(config.GetUint("negzero", 9), 0u);
  EXPECT_EQ(config.GetUint("absent", 7), 7u);
  EXPECT_EQ(ErrorOf([&] { config.GetUint("over", 0); }), R"(config key "over" is 18446744073709551616, want an integer, at least 0)");
  EXPECT_EQ(ErrorOf([&] { config.GetUint("minus", 0); }), R"(config key "minus" is -1, want an integer, at least 0)");
  EXPECT_EQ(ErrorOf([&] { config.GetUint("half", 0); }), R"(config key "half" is 1.5, want an integer, at least 0)");
  EXPECT_EQ(ErrorOf([&] { config.GetInt("text", 0, 1, 9); }), R"(config key "text" is "5", want an integer from 1 to 9)");
  EXPECT_EQ(ErrorOf([&] { config.GetInt("flag", 0); }), R"(config key "flag" is true, want an integer)");
  EXPECT_NE(ErrorOf([&] { config.GetUint("huge", 0); }), "");
  EXPECT_NE(ErrorOf([&] { config.GetInt("big", 0); }), "");
  EXPECT_EQ(ErrorOf([&] { config.GetUint("zero", 0, 1); }), R"(config key "zero" is 0, want an integer, at least 1)");
  EXPECT_EQ(ErrorOf([&] { config.GetUint("exp", 0, 0, 999); }), R"(config key "exp" is 1e3, want an integer from 0 to 999)");
}

TEST(ConfigValues, Numbers) {
  const Config config(R"({"a":0.5,"b":-2,"c":"x","d":1e999})");
  EXPECT_EQ(config.GetDouble("a", 0), 0.5);
  EXPECT_EQ(config.GetDouble("b", 0), -2);
  EXPECT_EQ(config.GetDouble("absent", 1.5), 1.5);
  EXPECT_EQ(ErrorOf([&] { config.GetDouble("c", 0, 0, 1); }), R"(config key "c" is "x", want a number from 0 to 1)");
  EXPECT_NE(ErrorOf([&] { config.GetDouble("b", 0, 0, 1); }), "");
  EXPECT_NE(ErrorOf([&] { config.GetDouble("d", 0); }), "");
}

TEST(ConfigValues, DoNotDependOnTheHostsLocale) {
  const std::string before = std::setlocale(LC_ALL, nullptr);
  for (const char *name : {"de_DE.UTF-8", "de_DE", "fr_FR.UTF-8", "C.UTF-8"}) {
    if (std::setlocale(LC_ALL, name) == nullptr) continue;
    const Config config(R"({"a":0.5,"n":1234567})");
    EXPECT_EQ(config.GetDouble("a", 0), 0.5) << name;
    EXPECT_EQ(config.GetUint("n", 0), 1234567u) << name;
  }
  std::setlocale(LC_ALL, before.c_str());
}

TEST(ConfigValues, OtherKinds) {
  const Config config(R"({"on":true,"off":false,"list":["a","b"],"mixed":["a",1],"map":{"s":"x","n":1.50,"b":true},
                          "bad":{"s":[]},"mode":"fast","none":null})");
  EXPECT_TRUE(config.GetBool("on", false));
  EXPECT_FALSE(config.GetBool("off", true));
  EXPECT_TRUE(config.GetBool("absent", true));
  EXPECT_EQ(ErrorOf([&] { config.GetBool("mode", true); }), R"(config key "mode" is "fast", want true or false)");
  EXPECT_EQ(config.GetStrings("list"), (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(config.GetStrings("absent").empty());
  EXPECT_EQ(ErrorOf([&] { config.GetStrings("mixed"); }), R"(config key "mixed" is 1, want an array of strings)");
  EXPECT_EQ(config.GetMap("map"), (std::map<std::string, std::string>{{"s", "x"}, {"n", "1.50"}, {"b", "true"}}));
  EXPECT_EQ(ErrorOf([&] { config.GetMap("bad"); }),
            R"(config key "bad.s" is an array, want a string, a number or a boolean)");
  EXPECT_EQ(config.GetChoice("mode", "slow", {"slow", "fast"}), "fast");
  EXPECT_EQ(config.GetChoice("absent", "slow", {"slow", "fast"}), "slow");
  EXPECT_EQ(ErrorOf([&] { config.GetChoice("mode", "slow", {"slow", "safe"}); }),
            R"(config key "mode" is "fast", want one of slow, safe)");
  EXPECT_EQ(config.GetChoice("absent", "", {"slow", "fast"}), "") << "a default beside the choices means not set";
  EXPECT_EQ(ErrorOf([&] { config.Require("absent"); }), R"(config key "absent" is missing, want a string)");
  EXPECT_NE(ErrorOf([&] { config.GetString("none"); }), "") << "null is not a string";
  EXPECT_EQ(config.Require("mode"), "fast");
}

TEST(ConfigValues, SecretsAreNotShown) {
  const Config config(R"({"password":12345,"api_key":true,"auth_token":["hunter2"],"client_secret":{"a":"hunter2"}})");
  for (const char *name : {"password", "api_key", "auth_token", "client_secret"}) {
    const std::string text = ErrorOf([&] { config.GetInt(name, 0, 0, 1); });
    EXPECT_NE(text.find(name), std::string::npos);
    EXPECT_EQ(text.find("12345"), std::string::npos) << text;
    EXPECT_EQ(text.find("hunter2"), std::string::npos) << text;
  }
}

// ---- through open

class ConfigOpen : public HelperTest {
 protected:
  std::string OpenError(const std::string &json, int32_t code = SIXCALL_E_CONFIG) {
    Connection connection(Api(), WithConfig(json));
    EXPECT_EQ(connection.open_rc(), code) << json;
    return connection.open_error();
  }

  static const sixcall_api *Api() {
    return TableOf<ScriptedConnector>(0, R"({"type":"object","properties":{"endpoint":{"type":"string"},"depth":{"type":"integer"}}})");
  }
};

TEST_F(ConfigOpen, NamesAnUnknownKeyAndTheNearestKnownOne) {
  EXPECT_EQ(OpenError(R"({"worker":1})"), R"(unknown config key "worker"; the nearest known key is "workers")");
  EXPECT_EQ(OpenError(R"({"max_in_flight":1})"), R"(unknown config key "max_in_flight"; the nearest known key is "max_inflight")");
  EXPECT_EQ(OpenError(R"({"lasy":true})"), R"(unknown config key "lasy"; the nearest known key is "lazy")");
  EXPECT_EQ(OpenError(R"({"endpiont":"x"})"), R"(unknown config key "endpiont"; the nearest known key is "endpoint")") << "from the schema";
  EXPECT_NE(OpenError(R"({"":1})"), "");
  EXPECT_LT(OpenError("{\"" + std::string(100000, 'k') + "\":1}").size(), 240u);
}

TEST_F(ConfigOpen, IgnoresKeysForOthers) {
  Connection connection(Api(), WithConfig(R"({"x-owner":"team","x-":1,"endpoint":"e","depth":3})"));
  EXPECT_TRUE(connection.ok()) << connection.open_error();
}

TEST_F(ConfigOpen, ChecksTheCommonKeys) {
  EXPECT_EQ(OpenError(R"({"workers":0})"), R"(config key "workers" is 0, want an integer from 1 to 256)");
  EXPECT_EQ(OpenError(R"({"workers":"4"})"), R"(config key "workers" is "4", want an integer from 1 to 256)");
  EXPECT_EQ(OpenError(R"({"lookup_workers":65})"), R"(config key "lookup_workers" is 65, want an integer from 1 to 64)");
  EXPECT_EQ(OpenError(R"({"max_inflight":0})"), R"(config key "max_inflight" is 0, want an integer from 1 to 65536)");
  EXPECT_EQ(OpenError(R"({"lazy":1})"), R"(config key "lazy" is 1, want true or false)");
  EXPECT_EQ(OpenError(R"({"workers":1,"workers":1})"), R"(configuration has the key "workers" twice)");
  EXPECT_NE(OpenError(""), "");
  EXPECT_NE(OpenError("{\"workers\":1"), "");
  EXPECT_EQ(script->connects.load(), 0) << "no session before the configuration is proved";
}

TEST_F(ConfigOpen, TellsStartWhatItNeeds) {
  std::string seen;
  script->start = [&](const Config &config, sixcall::Options &) { seen = config.GetString("endpoint"); };
  Connection connection(Api(), WithConfig(R"({"endpoint":"host:1"})"));
  EXPECT_EQ(seen, "host:1");
}

TEST_F(ConfigOpen, StartMayRefuse) {
  script->start = [](const Config &, sixcall::Options &) { throw Error(SIXCALL_E_CONFIG, "endpoint and depth exclude each other"); };
  EXPECT_EQ(OpenError("{}"), "endpoint and depth exclude each other");
  script->start = [](const Config &, sixcall::Options &) { throw std::runtime_error("library not found"); };
  EXPECT_EQ(OpenError("{}", SIXCALL_E_CONNECT), "library not found");
}

TEST_F(ConfigOpen, ChecksItsArguments) {
  const sixcall_api *api = Api();
  sixcall_host host = {};
  host.struct_size = sizeof(host);
  sixcall_open_args args = {};
  args.struct_size = sizeof(args);
  args.config_json = "{}";
  args.config_len = 2;
  sixcall_conn *conn = nullptr;
  sixcall_err err = {};
  err.struct_size = sizeof(err);
  EXPECT_EQ(api->open(nullptr, &args, &conn, &err), SIXCALL_E_INVAL);
  EXPECT_EQ(api->open(&host, nullptr, &conn, &err), SIXCALL_E_INVAL);
  EXPECT_EQ(api->open(&host, &args, nullptr, &err), SIXCALL_E_INVAL);
  args.config_json = nullptr;
  EXPECT_EQ(api->open(&host, &args, &conn, nullptr), SIXCALL_E_CONFIG) << "without an err struct";
  err.struct_size = 0;  // a host that does not want the text
  EXPECT_EQ(api->open(&host, &args, &conn, &err), SIXCALL_E_CONFIG);
  EXPECT_EQ(conn, nullptr);
}

TEST_F(ConfigOpen, TakesAHostWithoutALogAndOneFromTheFuture) {
  struct {
    sixcall_host host;
    uint8_t more[64];
  } future = {};
  future.host.struct_size = sizeof(future);
  future.host.abi_major = SIXCALL_ABI_MAJOR;
  future.host.abi_minor = 99;
  future.host.features = UINT64_MAX;
  sixcall_open_args args = {};
  args.struct_size = sizeof(args);
  args.config_json = "{}";
  args.config_len = 2;
  sixcall_conn *conn = nullptr;
  sixcall_err err = {};
  err.struct_size = sizeof(err);
  ASSERT_EQ(Api()->open(&future.host, &args, &conn, &err), SIXCALL_OK) << err.msg;
  EXPECT_EQ(Api()->close(conn, 30000), SIXCALL_OK);
}

}  // namespace
}  // namespace sixcall_test
