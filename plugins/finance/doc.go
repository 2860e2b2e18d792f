// Command islm-plugin-finance is the finance domain: terms, the heads sentiment,
// topic and ner, a sample in English and Chinese, and readers for Financial
// PhraseBank and for plain text.
//
// Nearly all of it is data beside this file, see domain.yaml. It is no trading
// system and gives no advice.
package main
