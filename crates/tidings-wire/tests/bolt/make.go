// Makes the files of this folder with the bbolt library (1.3.6, as Debian has it in
// golang-github-coreos-bbolt-dev):
//
//	go run make.go .
//
// They are committed, so that the tests need no Go.

package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strings"

	bolt "go.etcd.io/bbolt"
)

type Update struct {
	Data    string
	ID      string
	Type    string
	Retry   uint64
	Topics  []string
	Private bool
	Debug   bool
}

type Update2019 struct {
	Targets map[string]struct{}
	Topics  []string
	Data    string
	ID      string
	Type    string
	Retry   uint64
}

func put(b *bolt.Bucket, id string, value interface{}) {
	seq, err := b.NextSequence()
	if err != nil { log.Fatal(err) }
	key := make([]byte, 8, 8+len(id))
	binary.BigEndian.PutUint64(key, seq)
	key = append(key, []byte(id)...)
	text, err := json.Marshal(value)
	if err != nil { log.Fatal(err) }
	if err := b.Put(key, text); err != nil { log.Fatal(err) }
}

func open(name string, page int) *bolt.DB {
	os.Remove(name)
	db, err := bolt.Open(name, 0600, &bolt.Options{PageSize: page})
	if err != nil { log.Fatal(err) }
	return db
}

func update(i int) Update {
	u := Update{Data: fmt.Sprintf("update %d", i), ID: fmt.Sprintf("urn:uuid:00000000-0000-4000-8000-%012d", i), Topics: []string{fmt.Sprintf("https://example.com/books/%d", i%7)}}
	if i%3 == 0 { u.Private = true }
	if i%5 == 0 { u.Type = "sold"; u.Retry = 2000 }
	if i%11 == 0 { u.Topics = append(u.Topics, "https://example.com/all") }
	if i == 50 { u.Data = "line 1\nline 2 <&> \u2028 ü " + strings.Repeat("x", 9000) }
	return u
}

func main() {
	dir := os.Args[1]
	// several transactions, several pages, deletions (a size bound), one overflowing value
	db := open(dir+"/mercure.db", 1024)
	for i := 1; i <= 120; i += 10 {
		err := db.Update(func(tx *bolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists([]byte("updates"))
			if err != nil { return err }
			for j := i; j < i+10; j++ { put(b, update(j).ID, update(j)) }
			return nil
		})
		if err != nil { log.Fatal(err) }
	}
	err := db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte("updates"))
		c := b.Cursor()
		n := 0
		for k, _ := c.First(); k != nil && n < 20; k, _ = c.First() { if err := b.Delete(k); err != nil { return err }; n++ }
		return nil
	})
	if err != nil { log.Fatal(err) }
	db.Close()
	// small: the bucket is inline, and the usual page size
	db = open(dir+"/small.db", 4096)
	db.Update(func(tx *bolt.Tx) error {
		b, _ := tx.CreateBucketIfNotExists([]byte("updates"))
		put(b, "a", Update{Data: "one", ID: "a", Topics: []string{"t"}})
		put(b, "a", Update{Data: "two", ID: "a", Topics: []string{"t"}})
		return nil
	})
	db.Close()
	// 2019: targets
	db = open(dir+"/updates-2019.db", 4096)
	db.Update(func(tx *bolt.Tx) error {
		b, _ := tx.CreateBucketIfNotExists([]byte("updates"))
		put(b, "p", Update2019{Targets: map[string]struct{}{}, Topics: []string{"t"}, Data: "public", ID: "p"})
		put(b, "q", Update2019{Targets: map[string]struct{}{"foo": {}, "bar": {}}, Topics: []string{"t"}, Data: "for foo", ID: "q"})
		return nil
	})
	db.Close()
	// empty
	db = open(dir+"/empty.db", 4096)
	db.Close()
}
