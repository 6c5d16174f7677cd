// A login as the README of express-session has it. With the second argument "keep" it
// leaves out req.session.regenerate, as programs do that set req.session.user and are done.
const express = require('express')
const session = require('express-session')

const passwords = { alice: 'wonderland', bob: 'cheshire-cat' }
const [port, way] = process.argv.slice(2)
const app = express()
const form = express.urlencoded({ extended: false })

app.use(session({ secret: 'change me', resave: false, saveUninitialized: true }))

app.post('/login', form, (req, res, next) => {
  const { username, password } = req.body
  if (passwords[username] !== password) return res.sendStatus(401)
  const enter = (err) => {
    if (err) return next(err)
    req.session.user = username
    req.session.save((err) => (err ? next(err) : res.redirect('/me')))
  }
  if (way === 'keep') enter()
  else req.session.regenerate(enter)
})

const user = (req, res, next) => (req.session.user ? next() : res.sendStatus(401))

app.get('/me', user, (req, res) => {
  const { user, theme, language } = req.session
  res.json({ username: user, theme, language })
})

app.post('/settings', user, form, (req, res) => {
  Object.assign(req.session, req.body)
  res.redirect('/me')
})

app.post('/logout', (req, res, next) => {
  req.session.destroy((err) => (err ? next(err) : res.redirect('/')))
})

app.listen(Number(port), '127.0.0.1')
