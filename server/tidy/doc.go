// Package tidy keeps the house: its tests read the source of the whole module
// and fail where a rule of CONTRIBUTING.md is broken.
//
// It holds no code that others use. The rules are:
//
//   - arrows: which package may import which (arrows_test.go),
//   - sizes: lines of files and functions, parameters, columns (size_test.go),
//   - words: documentation of every package and exported name, no leftover
//     marks, no names that say nothing (word_test.go),
//   - purity: cores without clock, I/O, goroutine or randomness (pure_test.go),
//   - state: no init functions and no package-level variables that change
//     (state_test.go),
//   - log lines: one spelling of keys, "error" for an error (log_test.go),
//   - settings: each flag of "chronik serve" has an effect (setting_test.go).
//
// Generated code is exempt.
package tidy
