package report

import (
	"bytes"
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rivo/uniseg"

	"github.com/islm-dev/islm/core/metric"
)

// Page is report.html: one file that needs no other, no network and no
// script. It follows the reader's light or dark scheme.
type Page struct {
	Title     string
	Lang      string // en (default) or zh: the language of headings; texts and labels are as they are
	Facts     []Fact // what the run was: base, data, domain, seed …; Train's figures are added
	Metrics   *metric.Metrics
	Primary   string // head that comes first; "" = by name
	ScoreName string // what a `valid` entry's score is, such as macro_f1
	Log       []Entry
	// Mistakes holds wrong answers by head, worst first (see Worst).
	Mistakes   map[string][]Mistake
	Groups     map[string][]*metric.Groups // by head
	Notices    []Notice
	Provenance *Provenance
	Plan       string // text of plan.yaml
}

// Fact is a name and what there is to say about it.
type Fact struct{ Name, Value string }

// Notice is a diagnostic as the report shows it.
type Notice struct {
	Severity string // error, warning, info
	Code     string
	Summary  string
	Detail   string
	Remedy   string
}

// Mistake is one wrong answer.
type Mistake struct {
	ID     string
	Text   string
	TextB  string     // second text of a pair
	Gold   string     // several labels are joined by the caller
	Pred   string     //
	Score  float64    // how sure the model was, 0..1
	Tokens []TokenTag // taggers: instead of Text
}

// TokenTag is one token with both tags.
type TokenTag struct{ Text, Gold, Pred string }

// Worst returns the n mistakes that the model was most sure of.
func Worst(mistakes []Mistake, n int) []Mistake {
	out := slices.Clone(mistakes)
	slices.SortStableFunc(out, func(a, b Mistake) int { return cmp.Compare(b.Score, a.Score) })
	return out[:min(n, len(out))]
}

// Write renders the page.
func (p *Page) Write(w io.Writer) error {
	words := english
	if strings.HasPrefix(p.Lang, "zh") {
		words = chinese
	}
	translate := func(key string) string { return cmp.Or(words()[key], key) }
	page, err := template.New("report").Funcs(template.FuncMap{
		"t":       translate,
		"three":   three,
		"signed":  signed,
		"percent": percent,
		"span":    span,
	}).Parse(pageTemplate)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	var b bytes.Buffer
	if err := page.Execute(&b, p.view(translate)); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if _, err := io.WriteString(w, plain(b.String())); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// Save writes report.html whole or not at all.
func (p *Page) Save(path string) error {
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		return err
	}
	if err := writeWhole(path, b.Bytes()); err != nil {
		return fmt.Errorf("save report: %w", err)
	}
	return nil
}

//go:embed page.html
var pageTemplate string

// pageView is what the template sees.
type pageView struct {
	*Page
	HTMLLang string
	Facts    []Fact
	Charts   []*chart
	Overview []card // one per head
	Heads    []headView
}

type headView struct {
	Name, Task, Source string
	N                  string
	Cards              []card
	Rows               []scoreView
	Averages           []scoreView
	Unused             []string
	Compare            []compareView
	After              *metric.Report
	Entities           []metric.EntityScore // overall last
	Matrix             *matrixView
	Confusions         []Confused
	Controls           []controlView
	Groups             []*metric.Groups
	Mistakes           []mistakeView
}

type card struct{ Name, Value, Note, Class string }

type scoreView struct {
	Label                 string
	Precision, Recall, F1 float64
	Before                float64 // F1 of the untrained head
	HasBefore, OnlyF1     bool
	Support               int
}

type compareView struct {
	Name                          string
	Majority, Before, After, Gain string
}

type matrixView struct {
	Columns  []string
	Upright  bool
	Rows     []matrixRow
	HasNone  bool
	Diagonal bool
}

type matrixRow struct {
	Label   string
	Cells   []matrixCell
	Support int
}

type matrixCell struct {
	Count  int
	Share  float64 // of the row
	Strong bool    // dark background
	Right  bool
	Tip    string
}

type controlView struct {
	Name, Summary string
	Difference    *metric.Difference
	Scores        string
}

type mistakeView struct {
	Mistake
	Tokens []tokenView
}

type tokenView struct {
	TokenTag
	Class string // "", entity, wrong
	Note  string
}

func (p *Page) view(t func(string) string) *pageView {
	v := &pageView{Page: p, HTMLLang: "en", Facts: slices.Clone(p.Facts), Charts: charts(p.Log, p.ScoreName, t)}
	if strings.HasPrefix(p.Lang, "zh") {
		v.HTMLLang = "zh-CN"
	}
	if p.Metrics == nil {
		return v
	}
	for _, f := range trainFacts(&p.Metrics.Train) {
		v.Facts = append(v.Facts, Fact{t(f.Name), f.Value})
	}
	names := slices.Sorted(maps.Keys(p.Metrics.Heads))
	slices.SortStableFunc(names, func(a, b string) int {
		switch {
		case a == p.Primary:
			return -1
		case b == p.Primary:
			return 1
		}
		return 0
	})
	for _, name := range names {
		if r := p.Metrics.Heads[name]; r != nil {
			h := p.head(name, r, t)
			first := h.Cards[0]
			first.Name = name + " · " + first.Name
			v.Heads, v.Overview = append(v.Heads, h), append(v.Overview, first)
		}
	}
	return v
}

func (p *Page) head(name string, r *metric.Report, t func(string) string) headView {
	before := p.Metrics.Before[name]
	h := headView{Name: name, Task: r.Task, After: r, Groups: p.Groups[name]}
	h.Source = strings.Join(slices.DeleteFunc([]string{r.Dataset, r.Split}, func(s string) bool { return s == "" }), " · ")
	h.N = thousands(int64(r.N)) + " " + t("examples")
	if r.Tokens > 0 {
		h.N += " · " + thousands(int64(r.Tokens)) + " " + t("tokens")
	}
	h.Cards = cards(before, r, t)
	h.Compare = compare(before, r)
	if byLabel(r) {
		h.scores(before, r, t)
	}
	if e := r.Entities; e != nil && taskOf(r) != metric.TaskSpan {
		h.Entities = append(slices.Clone(e.Types), e.EntityScore)
		h.Entities[len(e.Types)].Type = t("overall")
	}
	if c := r.Confusion; c != nil && len(c.Labels) > 0 && r.N > 0 {
		if len(c.Labels) <= 24 {
			h.Matrix = matrix(c, t)
		}
		h.Confusions = Confusions(c, 10)
	}
	for _, key := range slices.Sorted(maps.Keys(p.Metrics.Controls)) {
		c := p.Metrics.Controls[key]
		control := controlView{Name: key, Summary: c.Summary, Difference: c.Difference}
		if other := c.Heads[name]; other != nil {
			control.Scores = briefly(other)
		} else if len(c.Heads) > 0 {
			continue
		}
		h.Controls = append(h.Controls, control)
	}
	for _, m := range p.Mistakes[name] {
		h.Mistakes = append(h.Mistakes, mistake(m, t))
	}
	return h
}

func (h *headView) scores(before, r *metric.Report, t func(string) string) {
	add := func(rows []scoreView, label string, a metric.Average, old *metric.Average) []scoreView {
		s := scoreView{Label: label, Precision: a.Precision, Recall: a.Recall, F1: a.F1, Support: a.Support}
		if old != nil {
			s.Before, s.HasBefore = old.F1, true
		}
		return append(rows, s)
	}
	var old metric.Averages
	has := func(a *metric.Average) *metric.Average {
		if before == nil {
			return nil
		}
		return a
	}
	if before != nil {
		old = before.Averages
	}
	for _, row := range Rows(r) {
		var was *metric.Average
		if before != nil {
			if b, ok := before.Labels.Get(row.Label); ok {
				was = &metric.Average{F1: b.F1}
			}
		}
		h.Rows = add(h.Rows, row.Label, metric.Average{Precision: row.Precision, Recall: row.Recall, F1: row.F1, Support: row.Support}, was)
	}
	if taskOf(r) != metric.TaskMultiLabel {
		h.Unused = r.Unused
	}
	h.Averages = add(h.Averages, t("micro avg"), r.Averages.Micro, has(&old.Micro))
	h.Averages = add(h.Averages, t("macro avg"), r.Averages.Macro, has(&old.Macro))
	h.Averages = add(h.Averages, t("weighted avg"), r.Averages.Weighted, has(&old.Weighted))
	if s := r.Averages.Samples; s != nil {
		h.Averages = add(h.Averages, t("samples avg"), *s, old.Samples)
	}
}

// cards are the figures in large type: the primary score, accuracy, and what
// they were before.
func cards(before, r *metric.Report, t func(string) string) []card {
	names := []string{r.Primary()}
	for _, name := range []string{"accuracy", "macro_f1", "pearson", "exact_match"} {
		if _, ok := r.Value(name); ok && name != names[0] {
			names = append(names, name)
		}
	}
	var out []card
	for _, name := range names {
		a, _ := r.Value(name)
		c := card{Name: t(name), Value: three(a)}
		if before != nil {
			if b, ok := before.Value(name); ok {
				c.Note = t("before training") + " " + three(b) + " (" + signed(a-b) + ")"
				if a > b {
					c.Class = "up"
				} else if a < b {
					c.Class = "down"
				}
			}
		}
		out = append(out, c)
	}
	if byLabel(r) && taskOf(r) != metric.TaskSpan {
		out = append(out, card{Name: t("majority"), Value: three(r.Majority.Accuracy), Note: t("accuracy of always answering") + " " + cmp.Or(r.Majority.Label, t("nothing"))})
	}
	return out
}

func compare(before, r *metric.Report) []compareView {
	var out []compareView
	for _, name := range headline(r) {
		a, _ := r.Value(name)
		row := compareView{Name: name, After: three(a)}
		if byLabel(r) && taskOf(r) != metric.TaskSpan {
			switch name {
			case "accuracy":
				row.Majority = three(r.Majority.Accuracy)
			case "macro_f1":
				row.Majority = three(r.Majority.MacroF1)
			}
		}
		if before != nil {
			if b, ok := before.Value(name); ok {
				row.Before, row.Gain = three(b), signed(a-b)
			}
		}
		out = append(out, row)
	}
	if c := r.Calibration; c != nil {
		out = append(out, compareView{Name: "ece", After: three(c.ECE)}, compareView{Name: "brier", After: three(c.Brier)})
	}
	return out
}

func matrix(c *metric.Confusion, t func(string) string) *matrixView {
	order := confusionOrder(c)
	wide := 0
	for _, label := range c.Labels {
		wide += 2 + uniseg.StringWidth(label)
	}
	m := &matrixView{HasNone: c.Missed != nil, Upright: len(order) > 6 || wide > 42}
	for _, i := range order {
		m.Columns = append(m.Columns, c.Labels[i])
		row := matrixRow{Label: c.Labels[i]}
		for _, n := range c.Counts[i] {
			row.Support += n
		}
		if c.Missed != nil {
			row.Support += c.Missed[i]
		}
		add := func(n int, predicted string, right bool) {
			cell := matrixCell{Count: n, Right: right}
			if row.Support > 0 {
				cell.Share = float64(n) / float64(row.Support)
			}
			cell.Strong = cell.Share > 0.55
			cell.Tip = fmt.Sprintf("%s: %s · %s: %s · %d (%s)", t("gold"), c.Labels[i], t("predicted"), predicted, n, percent(cell.Share))
			row.Cells = append(row.Cells, cell)
		}
		for _, j := range order {
			add(c.Counts[i][j], c.Labels[j], i == j)
		}
		if c.Missed != nil {
			add(c.Missed[i], t("none"), false)
		}
		m.Rows = append(m.Rows, row)
	}
	return m
}

func mistake(m Mistake, t func(string) string) mistakeView {
	v := mistakeView{Mistake: m}
	for _, token := range m.Tokens {
		w := tokenView{TokenTag: token}
		switch {
		case token.Gold != token.Pred:
			w.Class = "wrong"
			w.Note = token.Gold + " → " + cmp.Or(token.Pred, t("none"))
		case token.Gold != "O":
			w.Class, w.Note = "entity", token.Gold
		}
		v.Tokens = append(v.Tokens, w)
	}
	return v
}

func briefly(r *metric.Report) string {
	var out []string
	for _, name := range headline(r) {
		v, _ := r.Value(name)
		out = append(out, name+" "+three(v))
	}
	return strings.Join(out, ", ")
}

// trainFacts lists what a training took.
func trainFacts(t *metric.Train) []Fact {
	var out []Fact
	add := func(name, value string) {
		if value != "" {
			out = append(out, Fact{name, value})
		}
	}
	if t.Steps == 0 {
		return nil
	}
	add("device", strings.Join(slices.DeleteFunc([]string{t.Device, t.Precision}, func(s string) bool { return s == "" }), ", "))
	add("steps", thousands(int64(t.Steps)))
	add("epochs", strconv.Itoa(t.Epochs))
	if t.BestStep > 0 {
		add("best step", thousands(int64(t.BestStep)))
	}
	if t.StoppedEarly {
		add("stopped early", "✓")
	}
	if t.ResumedFrom != nil {
		add("resumed from", "step "+thousands(int64(*t.ResumedFrom)))
	}
	add("training time", clock(time.Duration(t.Seconds*float64(time.Second))))
	add("tokens", thousands(t.Tokens))
	add("tokens/s", thousands(int64(math.Round(t.TokensPerS))))
	add("padding", percent(t.PaddingShare))
	if t.PeakRSSBytes > 0 {
		add("peak memory", size(t.PeakRSSBytes))
	}
	if t.Parameters > 0 {
		add("parameters", thousands(t.Parameters))
		if t.Trainable != t.Parameters {
			add("trainable", thousands(t.Trainable))
		}
	}
	return out
}

func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// size writes bytes in binary units.
func size(n int64) string {
	v, unit := float64(n), "B"
	for _, u := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if v < 1024 {
			break
		}
		v, unit = v/1024, u
	}
	return fmt.Sprintf("%.3g %s", v, unit)
}

// plain makes a page of text that came from data: no control characters besides
// line breaks, no directional overrides, only valid UTF-8. Escaping is the
// template's.
func plain(s string) string {
	lines := strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n")
	for i := range lines {
		lines[i] = Clean(lines[i])
	}
	return strings.Join(lines, "\n")
}

func english() map[string]string {
	return map[string]string{
		"macro_f1": "macro F1", "micro_f1": "micro F1", "weighted_f1": "weighted F1", "entity_f1": "entity F1", "samples_f1": "samples F1",
	}
}

func chinese() map[string]string {
	return map[string]string{
		"macro_f1": "宏平均 F1", "micro_f1": "微平均 F1", "weighted_f1": "加权 F1", "entity_f1": "实体 F1", "samples_f1": "样本平均 F1",
		"accuracy": "准确率", "pearson": "皮尔逊相关", "spearman": "斯皮尔曼相关", "mse": "均方误差", "mae": "平均绝对误差",
		"micro avg": "微平均", "macro avg": "宏平均", "weighted avg": "加权平均", "samples avg": "样本平均", "overall": "总体",
		"majority": "多数类基线", "accuracy of always answering": "始终回答时的准确率：", "nothing": "（无）", "before training": "训练前",
		"examples": "条样本", "tokens": "词元", "gold": "标注", "predicted": "预测", "none": "（无）",
		"Run": "运行", "Training": "训练过程", "train loss": "训练损失", "validation": "验证", "learning rate": "学习率", "step": "步",
		"Scores by label": "各标签得分", "label": "标签", "precision": "精确率", "recall": "召回率", "f1-score": "F1", "support": "样本数",
		"Before and after": "训练前后", "before": "训练前", "after": "训练后", "gain": "提升", "score": "指标",
		"Confusion matrix": "混淆矩阵", "Most frequent confusions": "最常见的混淆", "count": "数量", "of gold": "占标注",
		"Entities": "实体", "type": "类型", "found": "找到", "correct": "正确", "Worst errors": "最严重的错误",
		"confidence": "置信度", "Notices": "提示", "Controls": "对照", "Groups": "分组", "largest gap": "最大差距",
		"95% interval": "95% 区间", "Stages before": "之前的阶段", "stage": "阶段", "objective": "目标", "Provenance": "来源", "Plan": "运行配置", "Contents": "目录", "text": "文本", "difference": "差异",
		"device": "设备", "steps": "步数", "epochs": "轮数", "best step": "最佳步", "stopped early": "提前停止", "resumed from": "恢复自",
		"training time": "训练用时", "tokens/s": "词元/秒", "padding": "填充占比", "peak memory": "内存峰值", "parameters": "参数量", "trainable": "可训练参数",
		"epoch mean": "每轮均值", "smoothed": "平滑", "each step": "每步", "best": "最佳", "validation loss": "验证损失",
		"role": "角色", "name": "名称", "digest": "摘要", "version": "版本", "size": "大小", "licence": "许可证", "command": "命令", "software": "软件", "machine": "机器",
		"neither in the data nor predicted": "数据和预测中均未出现", "group": "组", "created": "创建时间", "summary": "说明",
		"base": "基座模型", "data": "数据", "vocabulary": "词表", "rules": "规则", "knowledge": "知识", "plugin": "插件",
		"rows: gold, columns: predicted; shade: share of the row":  "行：标注；列：预测；颜色深浅：占该行的比例",
		"bar: F1 after training; mark: before":                     "条形：训练后 F1；竖线：训练前",
		"These answers are wrong, and the model was sure of them.": "以下回答是错误的，而模型对它们很有把握。",
		"Made by islm. This file needs no network.":                "由 islm 生成。本文件无需联网。",
	}
}
