// Command islm-plugin-industrial is the industrial domain: terms, the head fault, and a small
// sample of maintenance notes in English and Chinese.
//
// It sorts text; it does not watch machines.
package main
