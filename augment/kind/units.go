package kind

import "strings"

// unit is a unit of measurement: what it measures, and how a value in it becomes
// one in the unit that has factor 1: value*factor + offset.
type unit struct {
	dim            string
	factor, offset float64
	// forms are the sign, singular and plural word, and the Chinese name; "" for none.
	forms [4]string
	// others are further spellings that are read and never written.
	others string
}

// units are those that number.v0 knows, the factors by the definitions of the SI
// brochure (9th edition) and NIST SP 811.
var units = []unit{
	{"length", 1, 0, [4]string{"m", "metre", "metres", "米"}, "meter meters"},
	{"length", 1000, 0, [4]string{"km", "kilometre", "kilometres", "公里"}, "kilometer kilometers 千米"},
	{"length", 0.01, 0, [4]string{"cm", "centimetre", "centimetres", "厘米"}, "centimeter centimeters"},
	{"length", 0.001, 0, [4]string{"mm", "millimetre", "millimetres", "毫米"}, "millimeter millimeters"},
	{"length", 1e-6, 0, [4]string{"µm", "micrometre", "micrometres", "微米"}, "μm um micron microns"},
	{"length", 1609.344, 0, [4]string{"mi", "mile", "miles", "英里"}, ""},
	{"length", 0.3048, 0, [4]string{"ft", "foot", "feet", "英尺"}, ""},
	{"length", 0.0254, 0, [4]string{"in", "inch", "inches", "英寸"}, ""},
	{"length", 0.9144, 0, [4]string{"yd", "yard", "yards", "码"}, ""},
	{"mass", 1, 0, [4]string{"kg", "kilogram", "kilograms", "公斤"}, "kilo kilos 千克"},
	{"mass", 0.001, 0, [4]string{"g", "gram", "grams", "克"}, ""},
	{"mass", 1e-6, 0, [4]string{"mg", "milligram", "milligrams", "毫克"}, ""},
	{"mass", 1e-9, 0, [4]string{"µg", "microgram", "micrograms", "微克"}, "μg mcg"},
	{"mass", 1000, 0, [4]string{"t", "tonne", "tonnes", "吨"}, ""},
	{"mass", 0.5, 0, [4]string{"", "", "", "斤"}, ""},
	{"mass", 0.45359237, 0, [4]string{"lb", "pound", "pounds", "磅"}, "lbs"},
	{"mass", 0.028349523125, 0, [4]string{"oz", "ounce", "ounces", "盎司"}, ""},
	{"temperature", 1, 0, [4]string{"°C", "degree Celsius", "degrees Celsius", "摄氏度"}, "℃ 度"},
	{"temperature", 5.0 / 9, -160.0 / 9, [4]string{"°F", "degree Fahrenheit", "degrees Fahrenheit", "华氏度"}, "℉"},
	{"pressure", 1e5, 0, [4]string{"bar", "bar", "bar", "巴"}, ""},
	{"pressure", 100, 0, [4]string{"mbar", "millibar", "millibars", "毫巴"}, ""},
	{"pressure", 6894.757293168, 0, [4]string{"psi", "psi", "psi", ""}, ""},
	{"pressure", 1000, 0, [4]string{"kPa", "kilopascal", "kilopascals", "千帕"}, ""},
	{"pressure", 1e6, 0, [4]string{"MPa", "megapascal", "megapascals", "兆帕"}, ""},
	{"volume", 1, 0, [4]string{"L", "litre", "litres", "升"}, "l liter liters"},
	{"volume", 0.001, 0, [4]string{"mL", "millilitre", "millilitres", "毫升"}, "ml milliliter milliliters"},
	{"volume", 3.785411784, 0, [4]string{"gal", "gallon", "gallons", "加仑"}, ""},
	{"volume", 1000, 0, [4]string{"m³", "cubic metre", "cubic metres", "立方米"}, "m3"},
	{"speed", 1, 0, [4]string{"km/h", "kilometre per hour", "kilometres per hour", "公里每小时"}, "kph"},
	{"speed", 1.609344, 0, [4]string{"mph", "mile per hour", "miles per hour", "英里每小时"}, ""},
	{"speed", 3.6, 0, [4]string{"m/s", "metre per second", "metres per second", "米每秒"}, ""},
	{"power", 1000, 0, [4]string{"kW", "kilowatt", "kilowatts", "千瓦"}, ""},
	{"power", 1, 0, [4]string{"W", "watt", "watts", "瓦"}, ""},
	{"power", 1e6, 0, [4]string{"MW", "megawatt", "megawatts", "兆瓦"}, ""},
	{"power", 745.69987158227, 0, [4]string{"hp", "horsepower", "horsepower", "马力"}, ""},
	{"energy", 3.6e6, 0, [4]string{"kWh", "kilowatt-hour", "kilowatt-hours", "千瓦时"}, "度电"},
	{"energy", 1e6, 0, [4]string{"MJ", "megajoule", "megajoules", "兆焦"}, ""},
	{"energy", 4184, 0, [4]string{"kcal", "kilocalorie", "kilocalories", "千卡"}, ""},
	{"energy", 1000, 0, [4]string{"kJ", "kilojoule", "kilojoules", "千焦"}, ""},
	{"torque", 1, 0, [4]string{"Nm", "newton metre", "newton metres", "牛米"}, "N·m"},
	{"torque", 1.3558179483, 0, [4]string{"lb-ft", "pound-foot", "pound-feet", ""}, "ft-lb"},
	{"time", 1, 0, [4]string{"s", "second", "seconds", "秒"}, "sec secs"},
	{"time", 60, 0, [4]string{"min", "minute", "minutes", "分钟"}, "mins"},
	{"time", 3600, 0, [4]string{"h", "hour", "hours", "小时"}, "hr hrs"},
	{"time", 86400, 0, [4]string{"d", "day", "days", "天"}, ""},
	{"time", 604800, 0, [4]string{"wk", "week", "weeks", "周"}, ""},
	{"span", 1, 0, [4]string{"", "month", "months", "个月"}, ""},
	{"span", 12, 0, [4]string{"", "year", "years", "年"}, "yrs"},
	{"area", 1, 0, [4]string{"m²", "square metre", "square metres", "平方米"}, "sqm 平米"},
	{"area", 10000, 0, [4]string{"ha", "hectare", "hectares", "公顷"}, ""},
	{"area", 4046.8564224, 0, [4]string{"ac", "acre", "acres", "英亩"}, ""},
	{"area", 666.6666666667, 0, [4]string{"", "", "", "亩"}, ""},
	{"frequency", 60, 0, [4]string{"Hz", "hertz", "hertz", "赫兹"}, ""},
	{"frequency", 1, 0, [4]string{"rpm", "revolution per minute", "revolutions per minute", "转每分"}, "r/min"},
	{"voltage", 1, 0, [4]string{"V", "volt", "volts", "伏"}, ""},
	{"voltage", 1000, 0, [4]string{"kV", "kilovolt", "kilovolts", "千伏"}, ""},
	{"current", 1, 0, [4]string{"A", "ampere", "amperes", "安"}, "amp amps"},
}

// unitForm is a spelling of a unit.
type unitForm struct {
	text   string
	unit   int
	column int
}

// unitForms are all spellings, the longest first for each first byte.
type unitForms [256][]unitForm

func newUnitForms() *unitForms {
	var f unitForms
	add := func(text string, i, column int) {
		if text == "" {
			return
		}
		l := &f[text[0]]
		at := 0
		for at < len(*l) && len((*l)[at].text) >= len(text) {
			at++
		}
		*l = append(*l, unitForm{})
		copy((*l)[at+1:], (*l)[at:])
		(*l)[at] = unitForm{text, i, column}
	}
	for i, u := range units {
		for column, text := range u.forms {
			add(text, i, column)
		}
		for text := range strings.FieldsSeq(u.others) {
			column := 0
			switch {
			case hasHan(text):
				column = 3
			case len(text) > 4 && strings.HasSuffix(text, "s"):
				column = 2
			case len(text) > 4:
				column = 1
			}
			add(text, i, column)
		}
	}
	return &f
}

// at finds the unit that stands at i, as a whole word.
func (f *unitForms) at(t string, i int) (unitForm, bool) {
	if i >= len(t) {
		return unitForm{}, false
	}
	for _, u := range f[t[i]] {
		if !strings.HasPrefix(t[i:], u.text) {
			continue
		}
		end := i + len(u.text)
		if u.column == 3 || end == len(t) || !isASCIILetter(t[end]) && !isASCIIDigit(t[end]) && t[end] != '/' {
			return u, true
		}
	}
	return unitForm{}, false
}

func (f *unitForms) named(name string) int {
	if name == "" {
		return -1
	}
	for _, u := range f[name[0]] {
		if u.text == name {
			return u.unit
		}
	}
	return -1
}

// currencies are signs and codes of money, before or behind a number.
var currencies = [...]string{"US$", "HK$", "A$", "C$", "R$", "NT$", "$", "€", "£", "¥", "￥", "₹", "₩", "₽", "USD", "EUR", "GBP", "CHF", "CNY", "RMB", "JPY", "HKD", "SEK", "NOK", "DKK",
	"INR", "AUD", "CAD", "SGD", "KRW", "BRL", "PLN", "TWD", "人民币"}

// currencyWords follow a number.
var currencyWords = [...]string{"人民币", "美元", "欧元", "港元", "港币", "日元", "英镑", "韩元", "元", "块", "dollars", "dollar", "euros", "euro", "pounds sterling", "yuan", "yen", "francs", "rupees", "cents",
	"USD", "EUR", "GBP", "CHF", "CNY", "RMB", "JPY", "HKD", "SEK", "NOK", "DKK", "INR", "AUD", "CAD", "SGD", "KRW", "BRL", "PLN", "€", "$", "£"}

// scales are words and letters that multiply the number before them.
var scales = [...]struct {
	text  string
	value float64
	money bool // read so only where the number is an amount of money
}{
	{"trillion", 1e12, false}, {"billion", 1e9, false}, {"million", 1e6, false}, {"thousand", 1e3, false}, {"bln", 1e9, false}, {"mln", 1e6, false}, {"mio", 1e6, false}, {"trn", 1e12, false},
	{"bn", 1e9, false}, {"mn", 1e6, false}, {"tn", 1e12, true}, {"万亿", 1e12, false}, {"千万", 1e7, false}, {"百万", 1e6, false}, {"亿", 1e8, false}, {"万", 1e4, false},
	{"k", 1e3, true}, {"K", 1e3, true}, {"m", 1e6, true}, {"M", 1e6, true}, {"b", 1e9, true}, {"B", 1e9, true},
}

// percents are what makes a number a percentage or a difference of percentages.
var percents = [...]struct {
	text, dim string
}{
	{"percentage points", "points"}, {"percentage point", "points"}, {"basis points", "basis"}, {"个百分点", "points"}, {"个基点", "basis"}, {"基点", "basis"}, {"per cent", "percent"}, {"percent", "percent"},
	{"pct", "percent"}, {"bps", "basis"}, {"bp", "basis"}, {"pp", "points"}, {"%", "percent"}, {"％", "percent"}, {"‰", "permille"},
}
