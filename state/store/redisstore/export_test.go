package redisstore

// Parse is how New reads its address.
var Parse = parse

// Wrap is what each error of Redis goes through.
var Wrap = wrap
