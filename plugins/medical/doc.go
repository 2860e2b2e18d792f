// Command islm-plugin-medical is the medical domain: terms, the head department, and a small sample
// of patients' questions in English and Chinese.
//
// It sorts text; it is no medical device and gives no medical advice.
package main
