package kind

import (
	"strings"
	"unicode/utf8"

	"github.com/islm-dev/islm/augment/edit"
)

// zhLexical are words in which 不, 没, 无, 未 or 非 negates nothing that could be
// taken away.
var zhLexical = [...]string{"不断", "不仅", "不但", "不过", "不足", "不同", "不久", "不得不", "不良", "不少", "不管", "不论", "不锈", "不动产", "不然", "不如", "不禁", "不料", "不妨",
	"不时", "不止", "不只", "不光", "无论", "无限", "无锡", "无线", "无疑", "无非", "无数", "无偿", "无忧", "未来", "未必", "未免", "没收", "没落", "没准", "非常", "非洲", "非凡"}

// zhNegations are negations and what remains without them, the longest first. A *
// stands for: with a verb after it, the finished action; else 有.
var zhNegations = [...][2]string{{"并没有", "*"}, {"还没有", "*"}, {"从来没有", "*"}, {"没有", "*"}, {"并不是", "是"}, {"从未", "曾"}, {"尚未", "已"}, {"并未", "已"}, {"未能", "已"}, {"并非", "是"},
	{"不再", "仍"}, {"不会", "会"}, {"不能", "能"}, {"不可以", "可以"}, {"不可", "可"}, {"不是", "是"}, {"无法", "能够"}, {"并不", ""}, {"还没", "*"}, {"没", "*"}, {"未", "已"}, {"不", ""}, {"无", "有"}}

// zhVerbs are verbs of actions that end: what has not happened is 没有 and what has
// happened has 了.
const zhVerbs = "上涨 下跌 增长 下降 上升 提高 降低 增加 减少 改善 恶化 完成 达到 实现 超过 通过 批准 签署 收购 出售 发布 公布 宣布 推出 取得 获得 失去 盈利 亏损 扭亏 反弹 回升 回落 突破 扩大 缩小 缩减 " +
	"解决 发现 出现 发生 停止 恢复 修复 更换 维修 检查 泄漏 损坏 断裂 磨损 堵塞 过热 起火 报警 跳闸 启动 支付 收到 发货 到货 退款 退货 签订 履行 违约 起诉 上诉 判决 辞职 辞退 解雇 离婚 结婚 死亡 受伤 治愈 " +
	"好转 加重 复发 转移 缓解 消失 开始 结束 成功 失败 合格 过期 到期 生效 失效 变化 改变 参加 到达 离开 回复 回答 提供 支持过 道歉 赔偿 降价 涨价 换货 拖欠 欠款 还款 登记 领证 交付 验收 付款 收回 偿还 确认 下调 上调"

// zhStates are verbs and adjectives of states, negated by 不.
const zhStates = "喜欢 推荐 值得 满意 同意 支持 认为 知道 建议 适合 需要 担心 相信 希望 愿意 了解 方便 干净 舒服 便宜 合理 及时 稳定 正常 明显 清楚 安全 合法 有效 健康 热情 好吃 好看 好用 实用 耐用 清晰 流畅 " +
	"新鲜 安静 专业 理想 顺利 高 低 大 小 多 少 好 坏 快 慢 贵 远 近 重 轻 强 弱 热 冷"

// zhOneOf reports the word of a list, written with blanks between, with which t
// begins; the longest counts.
func zhOneOf(t, list string) string {
	best := ""
	for w := range strings.FieldsSeq(list) {
		if len(w) > len(best) && strings.HasPrefix(t, w) {
			best = w
		}
	}
	return best
}

func zhLexicalAt(t string, i int) bool {
	for _, w := range zhLexical {
		for k := range w { // the word may begin before i
			if i >= k && strings.HasPrefix(t[i-k:], w) {
				return true
			}
		}
	}
	return false
}

// zhNegationAt finds the negation at i.
func zhNegationAt(t string, i int) (neg, rest string) {
	if zhLexicalAt(t, i) {
		return "", ""
	}
	for _, n := range zhNegations {
		if strings.HasPrefix(t[i:], n[0]) {
			return n[0], n[1]
		}
	}
	return "", ""
}

// zhRemove takes the first negation of [start, end) away; it reports whether there
// is one.
func zhRemove(c *edit.Context, start, end int) bool {
	t := c.Text
	for i := start; i < end; {
		_, n := utf8.DecodeRuneInString(t[i:])
		neg, rest := zhNegationAt(t, i)
		after := i + len(neg)
		if neg == "" || after > end {
			i += n
			continue
		}
		switch rest {
		case "*":
			verb := zhOneOf(t[after:], zhVerbs)
			if verb == "" {
				c.Replace(i, after, "有")
				return true
			}
			c.Delete(i, after)
			if at := after + len(verb); !strings.HasPrefix(t[at:], "了") && !strings.HasPrefix(t[at:], "过") {
				c.Insert(at, "了")
			}
		case "":
			c.Delete(i, after)
		default:
			c.Replace(i, after, rest)
		}
		return true
	}
	return false
}

// zhModals are words that take 不 in front and stay.
const zhModals = "可以 能够 应该 应当 愿意 肯 敢 会 能 应 可 想 是"

// zhAdd negates the first word of [start, end) that can be negated.
func zhAdd(c *edit.Context, start, end int) {
	t := c.Text
	if before, n := utf8.DecodeLastRuneInString(t[:start]); n > 0 && strings.ContainsRune("不没未无非", before) && !zhLexicalAt(t, start-n) {
		return
	}
	for i := start; i < end; {
		_, n := utf8.DecodeRuneInString(t[i:])
		rest := t[i:end]
		if neg, _ := zhNegationAt(t, i); neg != "" {
			return
		}
		switch {
		case strings.HasPrefix(rest, "已经"), strings.HasPrefix(rest, "已"):
			k := len("已")
			if strings.HasPrefix(rest, "已经") {
				k = len("已经")
			}
			c.Replace(i, i+k, "尚未")
			zhDropLe(c, i+k)
			return
		case strings.HasPrefix(rest, "必须"):
			c.Replace(i, i+len("必须"), "不必")
			return
		case strings.HasPrefix(rest, "将"):
			c.Insert(i+len("将"), "不")
			return
		}
		for _, degree := range [...]string{"非常", "十分", "相当", "特别", "很"} {
			if strings.HasPrefix(rest, degree) {
				c.Replace(i, i+len(degree), "不")
				return
			}
		}
		if zhOneOf(rest, zhStates) != "" || zhOneOf(rest, zhModals) != "" && !strings.HasPrefix(rest, "会议") && !strings.HasPrefix(rest, "能力") && !strings.HasPrefix(rest, "能源") {
			c.Insert(i, "不")
			return
		}
		if strings.HasPrefix(rest, "有") && !strings.HasPrefix(t[i:], "有限") {
			c.Insert(i, "没")
			return
		}
		if v := zhOneOf(rest, zhVerbs); v != "" {
			c.Insert(i, "没有")
			zhDropLe(c, i+len(v))
			return
		}
		i += n
	}
	// a word that is not known: the rule says that it is a verb
	if strings.HasPrefix(t[end:], "了") {
		c.Insert(start, "没有")
		c.Delete(end, end+len("了"))
		return
	}
	c.Insert(start, "不")
}

// zhDropLe deletes the 了 of a finished action that stands at from or ends the
// clause after it: 已经完成了 has none when it is 尚未完成.
func zhDropLe(c *edit.Context, from int) {
	t := c.Text
	if strings.HasPrefix(t[from:], "了") {
		c.Delete(from, from+len("了"))
		return
	}
	for i, r := range t[from:] {
		switch r {
		case '，', '。', '！', '？', '；', ',', '.', '\n':
			if strings.HasSuffix(t[from:from+i], "了") {
				c.Delete(from+i-len("了"), from+i)
			}
			return
		}
		if i > 48 {
			return
		}
	}
	if strings.HasSuffix(t[from:], "了") {
		c.Delete(len(t)-len("了"), len(t))
	} else if i := strings.Index(t[from:], "了"); i == len("完成") {
		c.Delete(from+i, from+i+len("了"))
	}
}
