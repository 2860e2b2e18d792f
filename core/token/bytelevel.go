package token

// GPT-2 writes each byte as a printable character: itself where it is one, else
// one of those from U+0100 on, in order.

func printable(b byte) bool {
	return b >= '!' && b <= '~' || b >= 0xA1 && b <= 0xAC || b >= 0xAE
}

// byteToRune is the character for a byte.
func byteToRune(b byte) rune {
	if printable(b) {
		return rune(b)
	}
	switch {
	case b <= ' ':
		return 0x100 + rune(b)
	case b < 0xA1:
		return 0x100 + 33 + rune(b-0x7F)
	}
	return 0x100 + 67 // 0xAD
}

// runeToByte is the byte that a character stands for.
func runeToByte(r rune) (byte, bool) {
	switch {
	case r < 0x100:
		return byte(r), r >= 0 && printable(byte(r))
	case r <= 0x100+' ':
		return byte(r - 0x100), true
	case r < 0x100+67:
		return byte(r - 0x100 - 33 + 0x7F), true
	case r == 0x100+67:
		return 0xAD, true
	}
	return 0, false
}
