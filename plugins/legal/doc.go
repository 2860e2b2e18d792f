// Command islm-plugin-legal is the legal domain: terms, the head consultation, and a small sample of
// questions to lawyers in English and Chinese.
//
// It sorts text; it gives no legal advice and knows no country's law.
package main
