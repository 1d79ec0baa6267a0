package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// What the upstream serves, all of it by POST:
//
//	/json/N                     N bytes of JSON
//	/bytes/N                    N bytes that are not text
//	/ticks/COUNT/RATE/PHASE/N   COUNT events of N bytes, RATE a second, the first one after PHASE microseconds
//	/flat/MS/N/WHICH            events of N bytes for MS milliseconds, as fast as they go, to client WHICH
const host = "localhost"

// serve listens on a free port of the loopback and writes the certificate to trust into a file.
func serve(caFile string) (int, error) {
	certificate, err := selfSigned(caFile)
	if err != nil {
		return 0, err
	}
	// Who offers HTTP/1.1 alone, as the clients of most duties do, gets that.
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"h2", "http/1.1"}}
	first, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	port := first.Addr().(*net.TCPAddr).Port
	listeners := []net.Listener{first}
	// The name is looked up by the proxies; on most systems ::1 is its first address.
	if second, err := net.Listen("tcp6", fmt.Sprintf("[::1]:%d", port)); err == nil {
		listeners = append(listeners, second)
	}
	server := &http.Server{
		Handler: http.HandlerFunc(answer), ErrorLog: log.New(io.Discard, "", 0), TLSConfig: config,
	}
	for _, listener := range listeners {
		go func() { _ = server.ServeTLS(listener, "", "") }()
	}
	return port, nil
}

func selfSigned(caFile string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(time.Now().UnixNano()),
		Subject:               pkix.Name{CommonName: "upstream of the benchmark"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		DNSNames:              []string{host},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, os.WriteFile(caFile, text, 0o600)
}

func answer(writer http.ResponseWriter, request *http.Request) {
	_, _ = io.Copy(io.Discard, request.Body)
	parts := strings.Split(strings.Trim(request.URL.Path, "/"), "/")
	numbers := make([]int, 0, 4)
	for _, part := range parts[1:] {
		number, err := strconv.Atoi(part)
		if err != nil || number < 0 {
			http.Error(writer, "not a number: "+part, http.StatusNotFound)
			return
		}
		numbers = append(numbers, number)
	}
	switch {
	case parts[0] == "json" && len(numbers) == 1:
		sendJSON(writer, numbers[0])
	case parts[0] == "bytes" && len(numbers) == 1:
		sendBytes(writer, numbers[0])
	case parts[0] == "ticks" && len(numbers) == 4:
		sendTicks(writer, numbers[0], numbers[1], time.Duration(numbers[2])*time.Microsecond, numbers[3])
	case parts[0] == "flat" && len(numbers) == 3 && numbers[2] < mostFlat:
		sendFlat(writer, time.Duration(numbers[0])*time.Millisecond, numbers[1], &arrived[numbers[2]])
	default:
		http.NotFound(writer, request)
	}
}

var words = []byte(strings.Repeat(`"an answer has words, some 12 of them in a line, and numbers"`+", ", 1100))

// sendJSON sends an array of strings, padded to its length.
func sendJSON(writer http.ResponseWriter, size int) {
	head(writer, "application/json", size)
	left := size - len(`{"answer":[""]}`)
	_, _ = io.WriteString(writer, `{"answer":[`)
	line := len(`"an answer has words, some 12 of them in a line, and numbers", `)
	for left >= line {
		piece := min(left/line*line, len(words))
		if _, err := writer.Write(words[:piece]); err != nil {
			return
		}
		left -= piece
	}
	_, _ = io.WriteString(writer, `"`+strings.Repeat("x", max(0, left))+`"]}`)
}

func sendBytes(writer http.ResponseWriter, size int) {
	head(writer, "application/octet-stream", size)
	piece := make([]byte, 64<<10)
	for at := range piece {
		piece[at] = byte(at)
	}
	for size > 0 {
		count, err := writer.Write(piece[:min(size, len(piece))])
		if err != nil {
			return
		}
		size -= count
	}
}

func head(writer http.ResponseWriter, kind string, size int) {
	writer.Header().Set("Content-Type", kind)
	if size >= 0 {
		writer.Header().Set("Content-Length", strconv.Itoa(size))
	}
}

func sendTicks(writer http.ResponseWriter, count, rate int, phase time.Duration, size int) {
	head(writer, "text/event-stream", -1)
	flusher := writer.(http.Flusher)
	begin := time.Now().Add(phase)
	buffer := make([]byte, 0, size)
	for number := range count {
		if rate > 0 {
			time.Sleep(time.Until(begin.Add(time.Duration(number) * time.Second / time.Duration(rate))))
		}
		if _, err := writer.Write(event(buffer, size)); err != nil {
			return
		}
		flusher.Flush()
	}
}

const (
	mostFlat = 64
	ahead    = 1 << 20
)

// arrived counts the bytes that each client of /flat has. The upstream keeps a little ahead of it: enough that a proxy
// always has something to do, little enough that it does not work off megabytes of socket buffers after the end.
var arrived [mostFlat]atomic.Int64

func sendFlat(writer http.ResponseWriter, lasting time.Duration, size int, arrived *atomic.Int64) {
	head(writer, "text/event-stream", -1)
	flusher := writer.(http.Flusher)
	buffer := make([]byte, 0, size)
	var sent int64
	for until := time.Now().Add(lasting); time.Now().Before(until); {
		if sent-arrived.Load() > ahead {
			time.Sleep(200 * time.Microsecond)
			continue
		}
		sent += int64(size)
		if _, err := writer.Write(event(buffer, size)); err != nil {
			return
		}
		flusher.Flush()
	}
}

var filling = strings.Repeat("a token and some more ", 4000)

// event writes one SSE event of a length, with the time in it: `data: {"at":0000000000000000000,...`.
func event(buffer []byte, size int) []byte {
	buffer = fmt.Appendf(buffer[:0], `data: {"at":%019d,"delta":"`, now())
	buffer = append(buffer, filling[:max(0, size-len(buffer)-4)]...)
	return append(buffer, "\"}\n\n"...)
}
