// Package term writes results for people: numbers, tables, progress and files.
package term
