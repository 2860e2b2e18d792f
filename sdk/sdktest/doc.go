// Package sdktest is the conformance kit: named checks of what the plugin
// protocol promises, one for each sentence of it.
//
// There are two drivers. [Conform] runs a Go domain inside a test, without a
// process of its own:
//
//	func TestConform(t *testing.T) { sdktest.Conform(t, domain()) }
//
// [Run] starts a plugin's binary, written in any language, and checks the process
// as well; `islm plugin check` prints its [Report] and writes it as JUnit XML or
// JSON.
//
// A check has an ID such as read.spans-valid, which never changes its meaning, and
// can be skipped by that ID with a reason; the reason is printed. A check that a
// plugin gives no occasion for (no rules, no augmenters) is skipped by itself.
package sdktest
